/*
 * Owns one model process: spawns it, hands it one batch at a time, and replaces it when it dies or
 * should. It does not choose what runs next (that is the pool's business) nor what becomes of each
 * inference in a batch (`BatchRun`).
 *
 *  S1  A model process runs one batch at a time.
 *  S2  Its death fails exactly what it was running, at once, with the signal or the exit code.
 *  S3  Stopping a run is SIGKILL and a fresh process: ONNX Runtime in Node cannot be interrupted. Only a model that
 *      works in parts is asked first, and stops between two of them.
 *      The run is settled only when the process is gone, so that the device is free.
 *  S4  Deaths and failed loads in a row back off from 100 ms to 30 s; a success resets that. A
 *      process that we killed ourselves is replaced at once.
 *  S5  No model process survives its worker. (Without setpriv a busy one sees it only after its run.)
 *  S6  It never takes more than its `memory_mb`: what runs then ends as out of memory.
 *  S7  After `max_runs`, or when it keeps too much memory between two runs, it is replaced.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { messageOf } from '../contract/failure.ts';
import { LOAD_TIMEOUT_MS } from '../contract/model.ts';
import type { Logger } from '../telemetry/logger.ts';
import { backoffDelayMs } from './backoff.ts';
import { type BatchItem, BatchRun, type BatchRunOptions } from './batch-run.ts';
import { confined, type Confinement } from './confinement.ts';
import { closeLanes, type Lanes, openLanes, takeOutputs } from './lanes.ts';
import { limitMemory, type MemoryCgroup, readRssBytes } from './memory-limit.ts';
import { type FromProcess, inferMessage, type LoadSettings, send } from './protocol.ts';
import type { RestartCause } from './runtime.ts';
import type { Command } from './tied-process.ts';

export interface SupervisorOptions {
  /** For messages: `ocr@1`. */
  readonly label: string;
  readonly settings: LoadSettings;
  /** Whether its model works in parts and looks between two of them whether it is to stop. */
  readonly stopsWhenAsked: boolean;
  /** Files of the model whose hash was found right; this adds to them. */
  readonly checkedFiles: Set<string>;
  /** The compiled entry point of the model process. */
  readonly processFile: string;
  /** The environment of the model process. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
  /** Called after every change of `status`. */
  readonly onChange: () => void;
  readonly onReplaced: (cause: RestartCause) => void;
  /** A process that is not ready after so long is taken to hang. */
  readonly loadTimeoutMs?: number;
  /** A process that has not taken its input after so long is stopped or hangs, and is replaced. */
  readonly takePatienceMs?: number;
  /** What a model process may not do. */
  readonly confinement?: Confinement;
}

/** `unavailable`: it failed to load and will be tried again at `retryAtMs`. */
export type SupervisorStatus =
  | { readonly state: 'stopped' | 'loading' | 'ready' | 'running' | 'closed' }
  | { readonly state: 'unavailable'; readonly reason: string; readonly retryAtMs: number };

/** The JavaScript heap holds little. A small young generation keeps the memory constant from the start. */
const V8_OPTIONS = ['--max-semi-space-size=4'];
const MEMORY_CHECK_MS = 100;
const MIB = 1024 ** 2;
/** An idle process that keeps more than this share of its limit is replaced before it hits it. */
const IDLE_MEMORY_SHARE = 0.75;

/** A living process, with what is true of it from its start to its end. */
interface Process {
  readonly child: ChildProcess;
  readonly cgroup: MemoryCgroup | null;
  readonly lanes: Lanes;
  runs: number;
  /** Its memory after its first run, which is what the model itself needs. */
  baselineBytes: number;
}

type Phase =
  | { readonly name: 'stopped' | 'closed'; readonly process: null }
  | {
      readonly name: 'loading';
      readonly process: Process;
      readonly sinceMs: number;
      error: string | null;
    }
  | { readonly name: 'ready'; readonly process: Process }
  | { readonly name: 'running'; readonly process: Process; readonly run: BatchRun }
  | { readonly name: 'replacing'; readonly process: Process }
  | {
      readonly name: 'backing_off';
      readonly process: null;
      readonly timer: NodeJS.Timeout;
      readonly retryAtMs: number;
    };

export class Supervisor {
  readonly #options: SupervisorOptions;
  #phase: Phase = { name: 'stopped', process: null };
  #failuresInARow = 0;
  #loadError: string | null = null;
  /** When its latest process was started, and was ready. */
  #latestLoad = { fromMs: 0, toMs: 0 };

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  get status(): SupervisorStatus {
    const phase = this.#phase;
    const isRetrying = phase.name === 'loading' || phase.name === 'backing_off';
    if (isRetrying && this.#loadError !== null) {
      const retryAtMs = phase.name === 'backing_off' ? phase.retryAtMs : Date.now();
      return { state: 'unavailable', reason: this.#loadError, retryAtMs };
    }
    const isComing = phase.name === 'backing_off' || phase.name === 'replacing';
    return { state: isComing ? 'loading' : phase.name };
  }

  /** How many inferences it runs. */
  get running(): number {
    return this.#phase.name === 'running' ? this.#phase.run.size : 0;
  }

  /** Resident memory of its process; null without one, or where it cannot be read. */
  get rssBytes(): number | null {
    const pid = this.#phase.process?.child.pid;
    return pid === undefined ? null : readRssBytes(pid);
  }

  /** Makes sure that a process is there or on its way. */
  start(): void {
    if (this.#phase.name === 'stopped') this.#spawn();
  }

  /**
   * How long something that came at `arrivedAtMs` had to wait for the process to be loaded; null when
   * it was loaded by then.
   */
  loadMsSince(arrivedAtMs: number): number | null {
    const { fromMs, toMs } = this.#latestLoad;
    return toMs > arrivedAtMs ? toMs - Math.max(fromMs, arrivedAtMs) : null;
  }

  /** Runs a batch of inferences with the same run timeout; only when the state is `ready`. */
  run(items: readonly BatchItem[], told: Pick<BatchRunOptions, 'onDone' | 'loadMs'>): BatchRun {
    const phase = this.#phase;
    const { label, settings } = this.#options;
    if (phase.name !== 'ready') throw new Error(`${label} is ${phase.name}, not ready`);
    const { child } = phase.process;
    const kill = () => void child.kill('SIGKILL'); // S3
    const { takePatienceMs, stopsWhenAsked } = this.#options;
    const cancel = (item: number) => send(child, { type: 'cancel', item });
    const run = new BatchRun(items, {
      label,
      device: settings.device,
      kill,
      ...(stopsWhenAsked ? { cancel } : {}),
      ...told,
      ...(takePatienceMs === undefined ? {} : { takePatienceMs }),
    });
    this.#change({ name: 'running', process: phase.process, run });
    const requests = items.map(({ request }) => request);
    send(child, inferMessage(requests, phase.process.lanes.inputs));
    return run;
  }

  /** Kills the process and waits until it is gone; what it ran is rejected. */
  async close(): Promise<void> {
    const phase = this.#phase;
    this.#phase = { name: 'closed', process: null };
    if (phase.name === 'backing_off') clearTimeout(phase.timer);
    if (phase.process === null) return;
    const { child } = phase.process;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    const isRunning = child.exitCode === null && child.signalCode === null;
    if (isRunning && child.pid !== undefined) {
      child.kill('SIGKILL');
      await gone;
    }
    if (phase.name === 'running') phase.run.abandoned();
  }

  #spawn(): void {
    const { processFile, environment, settings, loadTimeoutMs = LOAD_TIMEOUT_MS } = this.#options;
    const node = { file: process.execPath, args: [...V8_OPTIONS, processFile] };
    const command = confined(node, environment['PATH'] ?? '', this.#options.confinement); // S5
    const lanes = openLanes();
    const hasLanes = lanes.inputs.isOpen && lanes.outputs.isOpen;
    const child = this.#launch(command, lanes);
    if (child === null) {
      closeLanes(lanes);
      return;
    }
    const { memory_mb: limitMb } = settings.manifest.resources;
    const cgroup = child.pid === undefined ? null : limitMemory(child.pid, limitMb); // S6
    const loading: Phase = {
      name: 'loading',
      sinceMs: Date.now(),
      process: { child, cgroup, lanes, runs: 0, baselineBytes: 0 },
      error: null,
    };
    const fail = (reason: string) => {
      loading.error = reason;
      child.kill('SIGKILL');
    };
    const loadTimer = setTimeout(
      () => fail(`it was not ready after ${loadTimeoutMs / 1000} s`),
      loadTimeoutMs,
    );
    const memoryTimer = setInterval(() => this.#checkMemory(loading.process), MEMORY_CHECK_MS);
    const release = () => {
      clearTimeout(loadTimer);
      clearInterval(memoryTimer);
      closeLanes(lanes);
    };
    child.on('error', (error) => {
      if (child.pid !== undefined) return; // only a message could not be sent; the exit event follows
      release();
      loading.error = `its process cannot be started: ${error.message}`;
      this.#onExit(child, 'without having run');
    });
    child.once('exit', (code, signal) => {
      release();
      this.#onExit(child, signal === null ? `with exit code ${code}` : `by ${signal}`);
      cgroup?.remove();
    });
    child.on('message', (message: FromProcess) => {
      clearTimeout(loadTimer);
      this.#onMessage(child, message);
    });
    this.#change(loading);
    const checkedFiles = [...this.#options.checkedFiles];
    send(child, { type: 'load', settings, hasLanes, checkedFiles });
  }

  /** Null when no process can be started; then a later try is scheduled. */
  #launch({ file, args }: Command, { inputs, outputs }: Lanes): ChildProcess | null {
    try {
      return spawn(file, args, {
        env: { ...this.#options.environment, ORT_DISABLE_TELEMETRY: '1' }, // on by default since 1.29
        // Our standard output is only for log lines, so the child writes to standard error.
        stdio: ['ignore', 2, 2, 'ipc', inputs.stdio, outputs.stdio],
        serialization: 'advanced',
      });
    } catch (error) {
      this.#loadError = `its process cannot be started: ${messageOf(error)}`;
      this.#failuresInARow += 1;
      this.#restart(backoffDelayMs(this.#failuresInARow)); // S4
      return null;
    }
  }

  #onMessage(child: ChildProcess, message: FromProcess): void {
    const phase = this.#phase;
    if (phase.process?.child !== child) return;
    if (phase.name === 'loading') {
      if (phase.error !== null) return; // it is being killed
      if (message.type === 'ready' && this.#takesTooMuch()) {
        this.#onMemoryExceeded();
      } else if (message.type === 'ready') {
        this.#loadError = null;
        for (const file of message.checkedFiles) this.#options.checkedFiles.add(file);
        this.#latestLoad = { fromMs: phase.sinceMs, toMs: Date.now() };
        this.#change({ name: 'ready', process: phase.process });
      } else if (message.type === 'load_failed') {
        phase.error = message.message;
        child.kill('SIGKILL');
      }
      return;
    }
    if (phase.name !== 'running' || phase.run.killedFor !== null) return;
    if (message.type === 'taken') phase.run.taken();
    if (message.type === 'progress') phase.run.progress(message);
    if (message.type === 'partial') phase.run.part(message);
    if (message.type !== 'done') return;
    const result = takeOutputs(message, phase.process.lanes.outputs);
    if (result === null) {
      child.kill('SIGKILL'); // its answer contradicts itself; the exit event does the rest
      return;
    }
    this.#failuresInARow = 0; // S4
    phase.process.runs += 1;
    if (phase.process.runs === 1) phase.process.baselineBytes = this.rssBytes ?? 0;
    phase.run.done(result);
    const cause = this.#reasonToReplace(phase.process);
    if (cause === null) this.#change({ name: 'ready', process: phase.process });
    else this.#replace(phase.process, cause);
  }

  #onExit(child: ChildProcess, how: string): void {
    const phase = this.#phase;
    if (phase.process?.child !== child) return;
    const { label, logger, onReplaced } = this.#options;
    if (phase.name === 'replacing') {
      this.#spawn();
      return;
    }
    if (phase.process.cgroup?.wasKilled() === true) this.#onMemoryExceeded();
    if (phase.name === 'loading') {
      this.#loadError = phase.error ?? `its process ended ${how} while loading`;
      this.#failuresInARow += 1;
      logger.error({ model: label, reason: this.#loadError }, 'the model cannot be loaded');
      onReplaced('load_failed');
      this.#restart(backoffDelayMs(this.#failuresInARow)); // S4
      return;
    }
    const ourReason = phase.name === 'running' ? phase.run.killedFor : null;
    onReplaced(ourReason ?? 'crashed');
    if (ourReason === null) {
      this.#failuresInARow += 1;
      logger.warn({ model: label, how }, 'a model process died');
    } else {
      logger.info({ model: label, reason: ourReason }, 'stopped a run by killing its process'); // S3
    }
    this.#restart(ourReason === null ? backoffDelayMs(this.#failuresInARow) : 0); // S4
    if (phase.name === 'running') phase.run.died(how); // S2
  }

  #checkMemory(of: Process): void {
    const phase = this.#phase;
    if (phase.process !== of || phase.name === 'ready') return;
    if (this.#takesTooMuch()) this.#onMemoryExceeded(); // S6
  }

  #takesTooMuch(): boolean {
    const { memory_mb: limitMb } = this.#options.settings.manifest.resources;
    return (this.rssBytes ?? 0) > limitMb * MIB;
  }

  #onMemoryExceeded(): void {
    const phase = this.#phase;
    const { memory_mb: limitMb } = this.#options.settings.manifest.resources;
    if (phase.name === 'running') {
      phase.run.stopForMemory(`the run needed more than the ${limitMb} MB of resources.memory_mb`);
    } else if (phase.name === 'loading') {
      phase.error ??= `loading it needs more than the ${limitMb} MB of resources.memory_mb`;
      phase.process.child.kill('SIGKILL');
    }
  }

  /** S7. A process that needs as much from its start is kept: its replacement would need the same. */
  #reasonToReplace({ runs, baselineBytes }: Process): RestartCause | null {
    const { max_runs: maxRuns, memory_mb: limitMb } = this.#options.settings.manifest.resources;
    if (maxRuns !== null && runs >= maxRuns) return 'max_runs';
    const idleLimitBytes = limitMb * MIB * IDLE_MEMORY_SHARE;
    const isFat = baselineBytes < idleLimitBytes && (this.rssBytes ?? 0) > idleLimitBytes;
    return isFat ? 'idle_memory' : null;
  }

  /** The new process starts only when the old one is gone, because the memory is enough for one. */
  #replace(process: Process, cause: RestartCause): void {
    const { label, logger, onReplaced } = this.#options;
    logger.info({ model: label, reason: cause }, 'replacing a model process');
    onReplaced(cause);
    process.child.kill('SIGKILL');
    this.#change({ name: 'replacing', process });
  }

  #restart(delayMs: number): void {
    const timer = setTimeout(() => this.#spawn(), delayMs);
    this.#change({ name: 'backing_off', process: null, timer, retryAtMs: Date.now() + delayMs });
  }

  #change(phase: Phase): void {
    this.#phase = phase;
    this.#options.onChange();
  }
}
