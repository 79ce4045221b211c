/* The whole service as real processes, each of which a test may kill, stop and start. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Prediction } from '../../src/contract/prediction.ts';
import { tieToParent } from '../../src/runtime/tied-process.ts';
import { until } from './conditions.ts';
import { checkAnswersOf } from './conformance.ts';
import {
  freePort,
  startTemporal,
  type Temporal,
  temporalBinary,
  type TemporalServer,
  useTemporal,
} from './temporal.ts';

const ENTRIES = {
  api: 'dist/api/server.js',
  orchestration: 'dist/workers/orchestration.js',
  inference: 'dist/workers/inference.js',
} as const;

/** A process that has used more CPU time than this (in 10 ms) is past loading its model. */
const LOADED_CPU_TICKS = 100;
/** Within 150 ms a process that runs gets at least so much, also where several share a core; an idle one takes none. */
const BUSY_CPU_TICKS = 3;

export type Environment = Readonly<Record<string, string>>;

/** One process of the service. */
export class ServiceProcess {
  readonly #file: string;
  readonly #environment: Environment;
  #child: ChildProcess | null = null;
  output = '';

  constructor(file: string, environment: Environment) {
    this.#file = file;
    this.#environment = environment;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get exitCode(): number | null {
    return this.#child?.exitCode ?? null;
  }

  /** Starts it; resolves when it says that it is ready, or has ended. */
  async start(): Promise<void> {
    const command = { file: process.execPath, args: [resolve(this.#file)] };
    const tied = tieToParent(command, process.env['PATH'] ?? '');
    const child = spawn(tied.file, tied.args, {
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...this.#environment },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    await new Promise<void>((done) => {
      child.once('message', () => done());
      child.once('exit', () => done());
    });
  }

  /** Sends a signal; resolves when the process is gone, unless the signal is not meant to end it. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === null || !this.isRunning) return;
    const gone = new Promise((done) => child.once('exit', done));
    child.kill(signal);
    if (signal !== 'SIGSTOP' && signal !== 'SIGCONT') await gone;
  }
}

type Part = keyof typeof ENTRIES;
const PARTS: readonly Part[] = ['api', 'orchestration', 'inference'];

export class Service<T extends Temporal = Temporal> {
  readonly temporal: T;
  readonly url: string;
  readonly dataDir: string;
  readonly environment: Environment;
  readonly api: ServiceProcess;
  readonly orchestration: ServiceProcess;
  readonly inference: ServiceProcess;
  readonly #extra: ServiceProcess[] = [];
  readonly #ownsTemporal: boolean;

  private constructor(
    temporal: T,
    ownsTemporal: boolean,
    dataDir: string,
    port: number,
    more: Environment,
  ) {
    this.temporal = temporal;
    this.#ownsTemporal = ownsTemporal;
    this.dataDir = dataDir;
    this.url = `http://127.0.0.1:${port}`;
    checkAnswersOf(this.url);
    this.environment = {
      TEMPORAL_ADDRESS: temporal.address,
      TEMPORAL_NAMESPACE: temporal.namespace,
      BUZZER_PORT: String(port),
      BUZZER_DATA_DIR: dataDir,
      BUZZER_SHUTDOWN_GRACE: '20s',
      ...more,
    };
    this.api = new ServiceProcess(ENTRIES.api, this.environment);
    this.orchestration = new ServiceProcess(ENTRIES.orchestration, this.environment);
    this.inference = new ServiceProcess(ENTRIES.inference, this.environment);
  }

  /**
   * Starts everything, or only what `only` names, in a namespace of its own on the Temporal server that test
   * files share; or on `given`, which the caller closes.
   */
  static async start(
    more: Environment = {},
    only: readonly Part[] = PARTS,
    given?: Temporal,
  ): Promise<Service> {
    const temporal = given ?? (await useTemporal());
    return await Service.#start(temporal, given === undefined, more, only);
  }

  /** The same on a Temporal server of its own, which may be killed. */
  static async startAlone(
    more: Environment = {},
    only: readonly Part[] = PARTS,
  ): Promise<Service<TemporalServer>> {
    return await Service.#start(await startTemporal(), true, more, only);
  }

  static async #start<T extends Temporal>(
    temporal: T,
    ownsTemporal: boolean,
    more: Environment,
    only: readonly Part[],
  ): Promise<Service<T>> {
    const dataDir = await mkdtemp(join(tmpdir(), 'buzzer-data-'));
    const service = new Service(temporal, ownsTemporal, dataDir, await freePort(), more);
    await Promise.all(only.map(async (name) => await service[name].start()));
    return service;
  }

  /** Another inference worker, with settings of its own. */
  async startSibling(more: Environment = {}): Promise<ServiceProcess> {
    const sibling = new ServiceProcess(ENTRIES.inference, { ...this.environment, ...more });
    this.#extra.push(sibling);
    await sibling.start();
    return sibling;
  }

  async close(): Promise<void> {
    const all = [this.api, this.inference, this.orchestration, ...this.#extra];
    await Promise.all(all.map(async (each) => await each.signal('SIGKILL')));
    if (this.#ownsTemporal) await this.temporal.close();
    await rm(this.dataDir, { recursive: true, force: true, maxRetries: 5 });
  }

  /** POSTs a prediction; `headers` may ask to wait. */
  async post(body: unknown, headers: Environment = {}): Promise<Response> {
    return await fetch(`${this.url}/v1/predictions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  }

  /** What the API says of a model. */
  async model(name: string): Promise<{ state: string; reason: string | null; version: number }> {
    const response = await fetch(`${this.url}/v1/models/${name}`);
    return (await response.json()) as { state: string; reason: string | null; version: number };
  }

  /** Accepts a prediction, or fails the test. */
  async submit(model: string, input: unknown): Promise<Prediction> {
    const response = await this.post({ model, input });
    const record = (await response.json()) as Prediction;
    if (response.status !== 202) throw new Error(`${response.status}: ${JSON.stringify(record)}`);
    return record;
  }

  async read(id: string): Promise<Prediction> {
    const response = await fetch(`${this.url}/v1/predictions/${id}`);
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    return (await response.json()) as Prediction;
  }

  /** The record once it satisfies `check`; a service that is down for a while is asked again. */
  async readUntil(
    id: string,
    what: string,
    check: (record: Prediction) => boolean,
    patienceMs = 40_000,
  ): Promise<Prediction> {
    let latest: Prediction | undefined;
    return await until(
      `${id} ${what}`,
      async () => {
        latest = await this.read(id).catch(() => undefined);
        return latest !== undefined && check(latest) ? latest : undefined;
      },
      patienceMs,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; it is ${JSON.stringify(latest)}`);
    });
  }

  async ended(id: string, patienceMs?: number): Promise<Prediction> {
    return await this.readUntil(id, 'to end', (record) => record.completed_at !== null, patienceMs);
  }

  async processing(id: string): Promise<Prediction> {
    return await this.readUntil(id, 'to run', ({ status }) => status === 'processing');
  }

  /** The model process that runs an inference, once there is one; one that loads is no such. */
  async busyModelProcess(worker: ServiceProcess = this.inference): Promise<number> {
    return await until('a busy model process', async () => {
      const before = modelProcesses(worker.pid).map((pid) => [pid, cpuTicks(pid)] as const);
      await new Promise((done) => setTimeout(done, 150));
      return before.find(([pid, ticks]) => {
        return ticks >= LOADED_CPU_TICKS && cpuTicks(pid) - ticks >= BUSY_CPU_TICKS;
      })?.[0];
    });
  }

  async cancel(id: string): Promise<Response> {
    return await fetch(`${this.url}/v1/predictions/${id}/cancel`, { method: 'POST' });
  }

  /** Runs the `temporal` CLI as an operator would. */
  async temporalCli(...args: readonly string[]): Promise<string> {
    const { address, namespace } = this.temporal;
    const where = ['--address', address, '--namespace', namespace];
    const { stdout } = await promisify(execFile)(temporalBinary(), [...args, ...where]);
    return stdout;
  }

  /** The inputs of a prediction that lie in the store. */
  uploads(id: string): string[] {
    return readdirSync(join(this.dataDir, 'payloads', 'predictions', 'default', id, 'input'));
  }

  /** Every payload of a prediction in the store. */
  payloads(): string[] {
    try {
      return readdirSync(join(this.dataDir, 'payloads', 'predictions', 'default'));
    } catch {
      return [];
    }
  }
}

/** An input for `burn` that keeps a core busy for about this many seconds. */
export const burn = (seconds: number) => ({
  inputs: [
    { name: 'x', datatype: 'FP32', shape: [1, 512], data: Array.from({ length: 512 }, () => 0) },
    { name: 'iterations', datatype: 'INT64', shape: [], data: [Math.round(seconds * burnRate())] },
  ],
});

/** An input for `patient` (test/support/graphs.ts): about so many seconds, then the value itself. */
export const patient = (value: number, seconds: number) => amountOf(value, seconds * burnRate());

/** An input for `hoard` (test/support/graphs.ts): so many megabytes, then the value itself. */
export const hoard = (value: number, megabytes: number) => amountOf(value, megabytes);

const amountOf = (value: number, amount: number) => ({
  inputs: [
    { name: 'x', datatype: 'FP32', shape: [1, 1], data: [value] },
    { name: 'amount', datatype: 'INT64', shape: [1, 1], data: [Math.round(amount)] },
  ],
});

export const affine = (value = 1) => ({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: [value] }],
});

/** Iterations a second on this machine, as `npm test` has measured them. */
function burnRate(): number {
  const rate = Number(process.env['BUZZER_TEST_BURN_RATE']);
  if (!(rate > 0)) throw new Error('BUZZER_TEST_BURN_RATE is not set: run npm test');
  return rate;
}

/** The child processes of a worker that run a model. */
export function modelProcesses(workerPid: number, file = 'runtime/process.js'): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return command.includes(file) && parentOf(pid) === workerPid;
      } catch {
        return false;
      }
    });
}

const statFields = (pid: number): string[] => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
};

const parentOf = (pid: number): number => Number(statFields(pid)[1]);

/** CPU time that a process has used, in hundredths of a second; 0 when it is gone. */
export function cpuTicks(pid: number): number {
  try {
    const fields = statFields(pid);
    return Number(fields[11]) + Number(fields[12]);
  } catch {
    return 0;
  }
}

/**
 * Whether a process still holds anything. Its first thread may be a zombie while others have yet to
 * end, and with them its ports.
 */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    const isZombie = statFields(pid)[0]?.startsWith('Z') === true;
    return !isZombie || readdirSync(`/proc/${pid}/task`).length > 1;
  } catch {
    return false;
  }
};
