import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * A Python with the packages of a requirements file, installed once into `.buzzer/<name>`. Returns
 * the path of its interpreter.
 */
export async function pythonWith(name: string, requirements: string): Promise<string> {
  const folder = resolve('.buzzer', name);
  const python = join(folder, 'bin', 'python');
  const done = join(folder, '.installed');
  const isDone = await access(done).then(
    () => true,
    () => false,
  );
  if (!isDone) {
    await run('python3', ['-m', 'venv', folder]);
    await run(python, ['-m', 'pip', 'install', '-q', '--no-deps', '-r', requirements]);
    await run('touch', [done]);
  }
  return python;
}
