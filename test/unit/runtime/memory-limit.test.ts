import { type ChildProcess, spawn } from 'node:child_process';
import { limitMemory, readRssBytes } from '../../../src/runtime/memory-limit.ts';
import { until } from '../../support/conditions.ts';

const MIB = 1024 ** 2;

/** A process that takes so many megabytes once it is told to. */
function hoarder(megabytes: number): ChildProcess {
  const program = `process.stdin.once('data', () => {
    const held = [];
    for (let i = 0; i < ${megabytes}; i++) held.push(Buffer.alloc(1024 ** 2, 1));
    setInterval(() => held.length, 1000);
  })`;
  return spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'ignore', 'ignore'] });
}

test('resident memory is that of the process; of one that is gone there is none', async () => {
  const child = hoarder(200);
  const pid = child.pid ?? 0;
  child.stdin?.write('go');
  await until('it to have taken it', () =>
    (readRssBytes(pid) ?? 0) > 200 * MIB ? true : undefined,
  );
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('exit', resolve));

  expect(readRssBytes(pid)).toBeNull();
});

test('where cgroups may be made, the kernel kills what takes too much', async () => {
  const child = hoarder(1000);
  const cgroup = limitMemory(child.pid ?? 0, 150);
  if (cgroup === null) {
    // Not allowed here: then the resident memory is watched, which the runtime's tests show.
    child.kill('SIGKILL');
    expect(readRssBytes(process.pid)).toBeGreaterThan(0);
    return;
  }
  const ended = new Promise((resolve) => child.once('exit', (_code, signal) => resolve(signal)));
  child.stdin?.write('go');

  expect(await ended).toBe('SIGKILL');
  expect(cgroup.wasKilled()).toBe(true);
  cgroup.remove();
});
