import { execFile } from 'node:child_process';
import { access, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A folder with a package of npm that is no dependency, installed once into `.buzzer/<name>`. */
export async function nodePackage(name: string, specifier: string): Promise<string> {
  const folder = resolve('.buzzer', name);
  const done = join(folder, '.installed');
  const isDone = await access(done).then(
    () => true,
    () => false,
  );
  if (!isDone) {
    await mkdir(folder, { recursive: true });
    const options = [
      '--no-save',
      '--no-package-lock',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
    ];
    await run('npm', ['install', '--prefix', folder, ...options, specifier]);
    await run('touch', [done]);
  }
  return folder;
}
