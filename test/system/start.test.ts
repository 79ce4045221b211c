/* `npm start` as a person uses it, on an already built clone. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { affineGraph } from '../../src/onnx/example-graphs.ts';
import { until } from '../support/conditions.ts';
import { addModel } from '../support/runtimes.ts';
import type { Prediction } from '../../src/contract/prediction.ts';
import { TestKeys } from '../support/keys.ts';
import { affine, burn, isAlive } from '../support/service.ts';
import { freePort, startTemporal, temporalBinary } from '../support/temporal.ts';

let folder: string;
let environment: Record<string, string>;
const launched: Launcher[] = [];

class Launcher {
  readonly child: ChildProcess;
  output = '';

  constructor(more: Record<string, string> = {}, inTerminal = false) {
    const command = inTerminal
      ? ['python3', 'test/support/terminal.py', 'npm', 'start']
      : [process.execPath, 'scripts/start.js'];
    this.child = spawn(command[0] ?? '', command.slice(1), {
      env: { ...environment, ...more },
      stdio: [inTerminal ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    launched.push(this);
  }

  async says(text: string): Promise<void> {
    await until(`"${text}" in ${this.output.slice(-500)}`, () =>
      this.output.includes(text) ? true : undefined,
    );
  }

  /** As a person does it in a terminal. */
  typeCtrlC(): void {
    this.child.stdin?.write('Ctrl-C\n');
  }

  async ends(): Promise<number | null> {
    if (this.child.exitCode !== null) return this.child.exitCode;
    return await new Promise((resolve) => this.child.once('exit', (code) => resolve(code)));
  }

  /** Every process below the launcher. */
  family(): number[] {
    const table = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' })
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number));
    const below = (parent: number): number[] =>
      table.filter(([, ppid]) => ppid === parent).flatMap(([pid = 0]) => [pid, ...below(pid)]);
    return below(this.child.pid ?? 0).filter((pid) => isAlive(pid));
  }
}

const allGone = async (pids: readonly number[]) =>
  await until('every process to be gone', () => (pids.some(isAlive) ? undefined : true), 10_000);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-start-'));
  environment = {
    PATH: [dirname(temporalBinary()), process.env['PATH'] ?? ''].join(delimiter),
    HOME: process.env['HOME'] ?? '',
    BUZZER_DATA_DIR: folder,
    BUZZER_PORT: String(await freePort()),
    BUZZER_TEMPORAL_PORT: String(await freePort()),
    BUZZER_UI_PORT: String(await freePort()),
  };
});
afterEach(async () => {
  for (const launcher of launched.splice(0)) {
    const family = launcher.family();
    launcher.child.kill('SIGKILL');
    await allGone(family);
  }
});
afterAll(async () => await rm(folder, { recursive: true, maxRetries: 5 }));

test('it starts everything, says so with a curl line that works as pasted, and stops in order', async () => {
  const launcher = new Launcher();
  await launcher.says('Buzzer is ready.');
  const curl = /^ {2}(curl .*)$/m.exec(launcher.output)?.[1] ?? '';
  const answer = execFileSync('sh', ['-c', curl], { encoding: 'utf8' });
  const ui = await fetch(`http://127.0.0.1:${environment['BUZZER_UI_PORT']}/`);
  const family = launcher.family();
  launcher.child.kill('SIGINT');
  const exitCode = await launcher.ends();

  expect(answer).toContain('The kitchen closed at half past nine.');
  expect(ui.status).toBe(200);
  expect(family.length).toBeGreaterThanOrEqual(5); // temporal, two workers, api, a model process
  expect(exitCode).toBe(0);
  await allGone(family);
  const order = ['api', 'inference', 'orchestration'].map((name) =>
    launcher.output.search(new RegExp(`${name} +shutting down`)),
  );
  expect(order).toEqual(order.toSorted((a, b) => a - b));
});

test('the example receiver is told, over http on this machine, and verifies', async () => {
  const launcher = new Launcher();
  await launcher.says('Buzzer is ready.');
  const port = await freePort();
  const url = `http://127.0.0.1:${environment['BUZZER_PORT']}`;
  const receiver = spawn(
    process.execPath,
    ['examples/webhook-receiver/receiver.mjs', String(port)],
    { env: { BUZZER_URL: url }, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  receiver.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  await until('it to listen', () => (output.includes('listening') ? true : undefined));
  const accepted = await fetch(`${url}/v1/predictions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      model: 'affine',
      input: affine(),
      webhook: `http://127.0.0.1:${port}/`,
    }),
  });
  const { id } = (await accepted.json()) as { id: string };
  const event = id.replace('pred_', 'evt_');
  const told = until('it to be told', () => (output.includes(event) ? output : undefined));
  await told.finally(() => receiver.kill());

  expect(output).toContain(`${event} prediction.succeeded succeeded`);
});

test('the second start is ready in ten seconds; what dies is started again and said so', async () => {
  const startedAt = Date.now();
  const launcher = new Launcher();
  await launcher.says('Buzzer is ready.');
  const tookMs = Date.now() - startedAt;
  const api = launcher
    .family()
    .find((pid) => execFileSync('ps', ['-o', 'args=', '-p', String(pid)]).includes('api/server'));
  process.kill(api ?? 0, 'SIGKILL');
  await launcher.says('ended (SIGKILL); starting it again in 100 ms');
  await until('the API to be back', async () =>
    fetch(`http://127.0.0.1:${environment['BUZZER_PORT']}/healthz`).catch(() => undefined),
  );

  expect(tookMs).toBeLessThan(4 * 10_000);
});

test('killed -9, it leaves no process behind', async () => {
  const launcher = new Launcher();
  await launcher.says('Buzzer is ready.');
  const family = launcher.family();
  launcher.child.kill('SIGKILL');

  await allGone(family);
});

test('a port in use is named, with how to choose another', async () => {
  const server = createServer();
  const port = Number(environment['BUZZER_PORT']);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const launcher = new Launcher();
  const exitCode = await launcher.ends();
  await new Promise((resolve) => server.close(resolve));

  expect(exitCode).toBe(1);
  expect(launcher.output.trim()).toBe(
    `Port ${port} of 127.0.0.1, for the API, is in use: choose another with BUZZER_PORT=<port>.`,
  );
});

test('two launchers do not share a data folder', async () => {
  const first = new Launcher();
  await first.says('Buzzer is ready.');
  const second = new Launcher({
    BUZZER_PORT: String(await freePort()),
    BUZZER_TEMPORAL_PORT: String(await freePort()),
    BUZZER_UI_PORT: String(await freePort()),
  });

  expect(await second.ends()).toBe(1);
  expect(second.output).toContain(`is using ${folder}`);
});

test.each([
  [{ BUZZER_PORT: 'eighty' }, 'BUZZER_PORT=eighty: must be a port'],
  [{ BUZZER_HOST: '0.0.0.0' }, 'BUZZER_ALLOW_ANONYMOUS=true'],
  [{ BUZZER_COLOUR: 'red' }, 'BUZZER_COLOUR: no such setting'],
  [{ BUZZER_DEADLINE: 'soon' }, 'BUZZER_DEADLINE=soon: must be a duration'],
])('the wrong setting %j ends it with one line', async (setting, message) => {
  const launcher = new Launcher(setting);

  expect(await launcher.ends()).toBe(1);
  expect(launcher.output).toContain(message);
  expect(launcher.output.trim().split('\n')).toHaveLength(1);
});

test('a device that is not there is one clear error, not a crash loop', async () => {
  const launcher = new Launcher({ BUZZER_DEVICE: 'cuda:0' });
  const exitCode = await launcher.ends();

  expect(exitCode).toBe(1);
  expect(launcher.output).toContain('BUZZER_DEVICE=cuda:0 cannot be used');
  expect(launcher.output).not.toContain('starting it again');
});

test('a manifest that is wrong is named in the log, and the others are served', async () => {
  const models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  const manifest = { resources: { threads: 0 }, timeouts: { run_s: -1 } };
  await addModel(models, 'broken', affineGraph(), manifest);
  await addModel(models, 'well', affineGraph());
  const launcher = new Launcher({ BUZZER_MODELS: models });
  await launcher.says('Buzzer is ready.');
  const listed = await fetch(`http://127.0.0.1:${environment['BUZZER_PORT']}/v1/models`);
  const { data } = (await listed.json()) as { data: { name: string; state: string }[] };
  await rm(models, { recursive: true });

  expect(launcher.output).toContain('model.json resources.threads');
  expect(launcher.output).toContain('model.json timeouts.run_s');
  expect(data.map(({ name, state }) => [name, state])).toEqual([
    ['well', 'idle'],
    ['broken', 'unavailable'],
  ]);
});

describe('Ctrl-C in a terminal, with a run under way', () => {
  const url = () => `http://127.0.0.1:${environment['BUZZER_PORT']}/v1`;
  async function running(seconds: number): Promise<Launcher> {
    const launcher = new Launcher({}, true);
    await launcher.says('Buzzer is ready.');
    const answer = await fetch(`${url()}/models/burn/predictions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ input: burn(seconds) }),
    });
    const { id } = (await answer.json()) as Prediction;
    latest = id;
    await until('it to run', async () =>
      (await recordOf(id)).started_at === null ? undefined : true,
    );
    return launcher;
  }
  const recordOf = async (id: string): Promise<Prediction> =>
    (await (await fetch(`${url()}/predictions/${id}`)).json()) as Prediction;
  let latest = '';

  test('once, the run has its grace time, and its result is kept', async () => {
    const launcher = await running(5);
    launcher.typeCtrlC();
    await launcher.ends();
    expect(launcher.output).toContain('Stopping; once more stops at once');
    expect(launcher.output).not.toContain('Stopping at once.');
    const again = new Launcher();
    await again.says('Buzzer is ready.');
    const record = await until('its end', async () => {
      const found = await recordOf(latest);
      return found.completed_at === null ? undefined : found;
    });
    expect(record).toMatchObject({ status: 'succeeded', attempt: 1 });
  });

  test('twice, half a second apart, it stops at once', async () => {
    const launcher = await running(60);
    launcher.typeCtrlC();
    await launcher.says('Stopping; once more stops at once');
    await new Promise((resolve) => setTimeout(resolve, 600)); // what a person needs to think again
    const at = Date.now();
    launcher.typeCtrlC();
    await launcher.ends();
    expect(launcher.output).toContain('Stopping at once.');
    expect(Date.now() - at).toBeLessThan(10_000); // the grace time is 30 s
  });
});

test('what lies in the data folder is for its owner only, also what was there before', async () => {
  const own = await mkdtemp(join(tmpdir(), 'buzzer-owner-'));
  await writeFile(join(own, 'temporal.db-wal'), '', { mode: 0o644 });
  await rm(join(own, 'temporal.db-wal'));
  const launcher = new Launcher({ BUZZER_DATA_DIR: own });
  await launcher.says('Buzzer is ready.');
  const image = await readFile('examples/page.png');
  await fetch(`http://127.0.0.1:${environment['BUZZER_PORT']}/v1/models/ocr/predictions?wait=60`, {
    method: 'POST',
    headers: { 'Content-Type': 'image/png' },
    body: image,
  });
  const entries = await readdir(own, { recursive: true });
  const modes = await Promise.all(
    entries.map(async (name) => [name, (await stat(join(own, name))).mode & 0o077] as const),
  );
  expect(entries).toContain('temporal.db');
  expect(entries.length).toBeGreaterThan(8);
  expect(modes.filter(([, mode]) => mode !== 0)).toEqual([]);
});

test('a database that is damaged ends it with advice, not with restarts for ever', async () => {
  const own = await mkdtemp(join(tmpdir(), 'buzzer-damaged-'));
  await writeFile(join(own, 'temporal.db'), Buffer.alloc(100_000, 'not a database'), {
    mode: 0o644,
  });
  const launcher = new Launcher({ BUZZER_DATA_DIR: own });
  expect(await launcher.ends()).toBe(1);
  const advice = launcher.output.split('\n').filter((line) => line.includes('is damaged'));
  expect(advice).toEqual([expect.stringContaining(`${own}/temporal.db is damaged: restore it`)]);
});

test('a damaged key of the secrets ends it with advice, not with restarts for ever', async () => {
  const own = await mkdtemp(join(tmpdir(), 'buzzer-damaged-'));
  await writeFile(join(own, 'secret.key'), 'half a k');
  const launcher = new Launcher({ BUZZER_DATA_DIR: own });
  expect(await launcher.ends()).toBe(1);
  expect(launcher.output).toContain(`${own}/secret.key is damaged: it must hold 32 bytes`);
  expect(launcher.output).not.toMatch(/^\S+ +at /m); // a stack
});

test('a lock that is a folder ends it with one line', async () => {
  const own = await mkdtemp(join(tmpdir(), 'buzzer-damaged-'));
  await mkdir(join(own, 'launcher.pid'));
  const launcher = new Launcher({ BUZZER_DATA_DIR: own });
  expect(await launcher.ends()).toBe(1);
  expect(launcher.output.trim().split('\n')).toEqual([
    expect.stringContaining(`${own}/launcher.pid is not a file`),
  ]);
});

test.each([
  ['a pseudo file system', '/proc/buzzer', 'cannot hold data'],
  ['a file', join(process.cwd(), 'package.json', 'data'), 'cannot hold data'],
])('a data folder on %s ends it with one line', async (_what, path, message) => {
  const launcher = new Launcher({ BUZZER_DATA_DIR: path });
  expect(await launcher.ends()).toBe(1);
  expect(launcher.output.trim().split('\n')).toEqual([expect.stringContaining(message)]);
});

test.each(['api/server.js', 'workers/inference.js'])(
  'dist/%s ends with one line where it cannot keep its data',
  async (file) => {
    const temporal = await startTemporal();
    try {
      const env = {
        ...environment,
        TEMPORAL_ADDRESS: temporal.address,
        BUZZER_DATA_DIR: '/proc/buzzer',
      };
      const child = spawn(process.execPath, [`dist/${file}`], {
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString();
      });
      const code = await new Promise((resolve) => child.once('exit', resolve));
      const lines = output.trim().split('\n');
      expect([code, lines.length]).toEqual([78, 1]);
      expect(JSON.parse(lines[0] ?? '')).toMatchObject({
        level: 'fatal',
        msg: expect.stringContaining('/proc/buzzer') as string,
      });
    } finally {
      await temporal.close();
    }
  },
);

test('a worker without a server says what it waits for', async () => {
  const env = { ...environment, TEMPORAL_ADDRESS: `127.0.0.1:${await freePort()}` };
  const child = spawn(process.execPath, ['dist/workers/inference.js'], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const expected = `waiting for a Temporal server with namespace buzzer at ${env.TEMPORAL_ADDRESS}`;
    // Four times the 3 s that are promised.
    await until(expected, () => (output.includes(expected) ? true : undefined), 12_000);
  } finally {
    child.kill('SIGKILL');
  }
});

test('with keys the banner shows commands that work with one', async () => {
  const keys = await TestKeys.create();
  const { headers } = await keys.add('acme', ['predict', 'read', 'admin']);
  try {
    const launcher = new Launcher({ BUZZER_KEYS_FILE: keys.path });
    await launcher.says('Ctrl-C stops it.');
    expect(launcher.output).toContain('/docs');
    expect(launcher.output).toContain('npm run keys -- create');
    const commands = [...launcher.output.matchAll(/curl -s .*$/gm)].map(([command]) => command);
    expect(commands).toHaveLength(2);
    const BUZZER_KEY = headers.Authorization.slice('Bearer '.length);
    for (const command of commands) {
      const env = { ...process.env, BUZZER_KEY };
      const answer = execFileSync('sh', ['-c', command], { encoding: 'utf8', env });
      expect(answer).toMatch(/The kitchen closed|whsec_/);
    }
  } finally {
    await keys.close();
  }
});
