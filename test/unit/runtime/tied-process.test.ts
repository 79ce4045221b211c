import { spawn } from 'node:child_process';
import { watchParent } from '../../../src/runtime/tied-process.ts';
import { until } from '../../support/conditions.ts';
import { isAlive } from '../../support/service.ts';

const sleep = { file: 'sleep', args: ['300'] };

const PARENT = `
  import { spawn } from 'node:child_process';
  import * as ties from './dist/runtime/tied-process.js';
  const [how, file, ...args] = process.argv.slice(1);
  const command = ties[how]({ file, args }, process.env.PATH);
  console.log(spawn(command.file, command.args, { stdio: 'ignore' }).pid);
`;

/** A process that starts `sleep`, tells its pid and waits; killed, it cannot clean up. */
async function startParent(how: 'tieToParent' | 'watchParent') {
  const options = ['--input-type=module', '--eval', PARENT, how, sleep.file, ...sleep.args];
  const parent = spawn(process.execPath, options, { stdio: ['ignore', 'pipe', 'inherit'] });
  const pid = await new Promise<number>((resolve) => {
    parent.stdout.once('data', (chunk: Buffer) => resolve(Number(chunk.toString())));
  });
  return { parent, pid };
}

test.each(['tieToParent', 'watchParent'] as const)(
  'through %s a command dies with a parent that is killed',
  async (how) => {
    const { parent, pid } = await startParent(how);
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');

    await until('the command to be gone', () => (isAlive(pid) ? undefined : true), 10_000);
  },
);

test('a watched command ends when it is asked to, with its own exit status', async () => {
  const quick = spawn('sh', watchParent({ file: 'sh', args: ['-c', 'exit 7'] }).args as string[]);
  const status = await new Promise((resolve) => quick.once('exit', resolve));
  const asked = spawn('sh', watchParent(sleep).args as string[]);
  asked.kill('SIGTERM');
  const ended = await new Promise((resolve) => asked.once('exit', () => resolve(true)));

  expect(status).toBe(7);
  expect(ended).toBe(true);
});
