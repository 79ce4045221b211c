/*
 * Makes a fresh clone runnable, with nothing but Node's own modules: installs the dependencies when
 * the lock file has changed, and builds when a source has. Does nothing the second time.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const NEEDED_NODE = [20, 19];

/** Ends the process with one line when something fails. */
export function prepare() {
  process.chdir(root);
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < NEEDED_NODE[0] || (major === NEEDED_NODE[0] && minor < NEEDED_NODE[1])) {
    fail(`Buzzer needs Node ${NEEDED_NODE.join('.')} or newer; this is ${process.versions.node}.`);
  }
  step(
    'Installing dependencies',
    'node_modules/.buzzer-installed',
    ['package-lock.json'],
    ['ci', '--no-audit', '--no-fund', '--loglevel=error'],
  );
  const sources = ['src', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];
  step('Building', 'dist/.built', sources, ['run', '--silent', 'build']);
}

/** Runs npm unless `stamp` says that it was run for the very same `inputs`. */
function step(title, stamp, inputs, npmArguments) {
  const state = fingerprint(inputs);
  if (read(stamp) === state) return;
  console.log(`${title} …`);
  // onnxruntime-node's install script fetches CUDA libraries, which the CPU does not need.
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' };
  const { status, error } = spawnSync('npm', npmArguments, { stdio: 'inherit', env });
  if (status !== 0)
    fail(`npm ${npmArguments.join(' ')} failed${error ? `: ${error.message}` : ''}.`);
  writeFileSync(stamp, state);
}

function fingerprint(paths) {
  const hash = createHash('sha256').update(process.versions.modules);
  for (const path of paths.flatMap(filesBelow)) hash.update(path).update(readFileSync(path));
  return hash.digest('hex');
}

function filesBelow(path) {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesBelow(join(path, name)));
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
