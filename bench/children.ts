import { readFileSync } from 'node:fs';
import { type ChildProcess, fork } from 'node:child_process';

/** Starts one of these files in a process of its own; resolves when it says that it is ready. */
export async function startChild(file: string, ...args: readonly string[]): Promise<ChildProcess> {
  const child = fork(file, args, { execArgv: ['--import', 'tsx'] });
  await new Promise((resolve) => child.once('message', resolve));
  return child;
}

/** Sends it a message; resolves with the number it answers. */
export const ask = async (child: ChildProcess, question: string | number): Promise<number> =>
  await new Promise((resolve) => {
    child.once('message', (answer) => resolve(Number(answer)));
    child.send(question);
  });

/** Of a process, without its children. */
export const residentMegabytes = (pid: number): number => megabytes(pid, 'VmRSS');

/** The most that it had since it began. */
export const peakMegabytes = (pid: number): number => megabytes(pid, 'VmHWM');

function megabytes(pid: number, line: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const [, kilobytes] = new RegExp(`${line}:\\s+(\\d+) kB`).exec(status) ?? [];
  return Math.round(Number(kilobytes) / 1024);
}
