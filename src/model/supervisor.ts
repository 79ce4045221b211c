/*
 * Owns one model process: spawns it, hands it one inference at a time, and replaces it when it
 * dies. It does not choose which inference runs next (that is the pool's business).
 *
 *  S1  A model process runs one inference at a time.
 *  S2  Its death fails exactly what it was running, at once, with the signal or the exit code.
 *  S3  Stopping a run is SIGKILL and a fresh process: ONNX Runtime in Node cannot be interrupted.
 *      The run is settled only when the process is gone, so that the device is free.
 *  S4  Deaths and failed loads in a row back off from 100 ms to 30 s; a success resets that. A
 *      process that we killed ourselves is replaced at once.
 *  S5  No model process survives its worker. (Without setpriv a busy one sees it only after its run.)
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { LOAD_TIMEOUT_MS } from '../contract/model.ts';
import type { Logger } from '../telemetry/logger.ts';
import { backoffDelayMs } from './backoff.ts';
import type { FromProcess, LoadSettings, ToProcess } from './protocol.ts';
import {
  type Inference,
  InferenceFailedError,
  type InferenceRequest,
  InvalidInputError,
  ModelCrashedError,
  OutputTooLargeError,
  RunTimeoutError,
} from './runtime.ts';
import { tieToParent } from './tied-process.ts';

export interface SupervisorOptions {
  /** For messages: `ocr@1`. */
  readonly label: string;
  readonly settings: LoadSettings;
  /** The compiled entry point of the model process. */
  readonly processFile: string;
  /** The environment of the model process. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
  /** Called after every change of `status`. */
  readonly onChange: () => void;
}

/** `unavailable`: it failed to load and will be tried again at `retryAtMs`. */
export type SupervisorStatus =
  | { readonly state: 'stopped' | 'loading' | 'ready' | 'running' | 'closed' }
  | { readonly state: 'unavailable'; readonly reason: string; readonly retryAtMs: number };

interface Run {
  readonly startedAtMs: number;
  readonly request: InferenceRequest;
  readonly resolve: (inference: Inference) => void;
  readonly reject: (error: unknown) => void;
  readonly release: () => void;
  /** Why we killed the process; undefined while we have not. */
  killedFor: unknown;
}

type Phase =
  | { readonly name: 'stopped' | 'closed' }
  | { readonly name: 'loading'; readonly child: ChildProcess; error: string | null }
  | { readonly name: 'ready'; readonly child: ChildProcess }
  | { readonly name: 'running'; readonly child: ChildProcess; readonly run: Run }
  | {
      readonly name: 'backing_off';
      readonly timer: NodeJS.Timeout;
      readonly retryAtMs: number;
    };

export class Supervisor {
  readonly #options: SupervisorOptions;
  #phase: Phase = { name: 'stopped' };
  #failuresInARow = 0;
  #loadError: string | null = null;

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
    return { state: phase.name === 'backing_off' ? 'loading' : phase.name };
  }

  /** Makes sure that a process is there or on its way. */
  start(): void {
    if (this.#phase.name === 'stopped') this.#spawn();
  }

  /** Runs one inference; only when the state is `ready`. */
  async run(request: InferenceRequest): Promise<Inference> {
    const phase = this.#phase;
    if (phase.name !== 'ready')
      throw new Error(`${this.#options.label} is ${phase.name}, not ready`);
    const { child } = phase;
    return await new Promise<Inference>((resolve, reject) => {
      const kill = (reason: unknown) => {
        run.killedFor = reason; // S3
        child.kill('SIGKILL');
      };
      const onAbort = () => kill(request.signal.reason);
      const timer = setTimeout(() => {
        const message = `the run took longer than its ${request.runTimeoutMs} ms and was stopped`;
        kill(new RunTimeoutError(message));
      }, request.runTimeoutMs);
      const run: Run = {
        startedAtMs: Date.now(),
        request,
        resolve,
        reject,
        release: () => {
          clearTimeout(timer);
          request.signal.removeEventListener('abort', onAbort);
        },
        killedFor: undefined,
      };
      request.signal.addEventListener('abort', onAbort, { once: true });
      this.#change({ name: 'running', child, run });
      send(child, { type: 'infer', input: request.input, options: request.options });
    });
  }

  /** Kills the process and waits until it is gone; what it ran is rejected. */
  async close(): Promise<void> {
    const phase = this.#phase;
    this.#phase = { name: 'closed' };
    if (phase.name === 'backing_off') clearTimeout(phase.timer);
    if (!('child' in phase)) return;
    const gone = new Promise((resolve) => phase.child.once('exit', resolve));
    if (phase.child.exitCode === null && phase.child.signalCode === null) {
      phase.child.kill('SIGKILL');
      await gone;
    }
    if (phase.name === 'running') {
      phase.run.release();
      phase.run.reject(new ModelCrashedError(`${this.#options.label} was shut down`));
    }
  }

  #spawn(): void {
    const { processFile, environment, settings } = this.#options;
    const command = tieToParent(
      { file: process.execPath, args: [processFile] },
      environment['PATH'] ?? '',
    ); // S5
    const child = spawn(command.file, command.args, {
      env: { ...environment, ORT_DISABLE_TELEMETRY: '1' }, // it is on by default since 1.29
      stdio: ['ignore', 2, 2, 'ipc'], // our standard output is for log lines
      serialization: 'advanced',
    });
    const loading = { name: 'loading' as const, child, error: null as string | null };
    const timer = setTimeout(() => {
      loading.error = `it was not ready after ${LOAD_TIMEOUT_MS / 1000} s`;
      child.kill('SIGKILL');
    }, LOAD_TIMEOUT_MS);
    child.on('error', (error) => {
      if (child.pid !== undefined) return; // a message that could not be sent: the exit will tell
      clearTimeout(timer);
      loading.error = `its process cannot be started: ${error.message}`;
      this.#onExit(child, 'without having run');
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      this.#onExit(child, signal === null ? `with exit code ${code}` : `by ${signal}`);
    });
    child.on('message', (message: FromProcess) => {
      if (message.type === 'ready') clearTimeout(timer);
      this.#onMessage(child, message);
    });
    this.#change(loading);
    send(child, { type: 'load', settings });
  }

  #onMessage(child: ChildProcess, message: FromProcess): void {
    const phase = this.#phase;
    if (!('child' in phase) || phase.child !== child) return;
    if (phase.name === 'loading') {
      if (message.type === 'ready') {
        this.#loadError = null;
        this.#change({ name: 'ready', child });
      } else if (message.type === 'load_failed') {
        phase.error = message.message;
        child.kill('SIGKILL');
      }
      return;
    }
    if (phase.name !== 'running' || phase.run.killedFor !== undefined) return;
    const { run } = phase;
    if (message.type === 'progress') {
      run.request.onProgress(message.progress);
      return;
    }
    if (message.type !== 'result' && message.type !== 'error') return;
    run.release();
    this.#failuresInARow = 0; // S4
    this.#change({ name: 'ready', child });
    if (message.type === 'error') {
      run.reject(errorOf(message));
    } else {
      run.resolve({
        output: message.output,
        startedAtMs: run.startedAtMs,
        inferenceMs: message.inferenceMs,
        batchSize: 1,
        device: this.#options.settings.device,
      });
    }
  }

  #onExit(child: ChildProcess, how: string): void {
    const phase = this.#phase;
    if (!('child' in phase) || phase.child !== child) return;
    const { label, logger } = this.#options;
    if (phase.name === 'loading') {
      this.#loadError = phase.error ?? `its process ended ${how} while loading`;
      this.#failuresInARow += 1;
      logger.error({ model: label, reason: this.#loadError }, 'the model cannot be loaded');
    } else if (phase.name === 'running' && phase.run.killedFor !== undefined) {
      logger.info({ model: label }, 'stopped a run by killing its model process'); // S3
    } else {
      this.#failuresInARow += 1;
      logger.warn({ model: label, how }, 'a model process died');
    }
    this.#restart();
    if (phase.name === 'running') {
      const { run } = phase;
      run.release();
      run.reject(
        run.killedFor ??
          new ModelCrashedError(`the model process of ${label} ended ${how} during the run`), // S2
      );
    }
  }

  #restart(): void {
    const isOurDoing = this.#phase.name === 'running' && this.#phase.run.killedFor !== undefined;
    const delayMs = isOurDoing ? 0 : backoffDelayMs(Math.max(1, this.#failuresInARow)); // S4
    const timer = setTimeout(() => this.#spawn(), delayMs);
    this.#change({
      name: 'backing_off',
      timer,
      retryAtMs: Date.now() + delayMs,
    });
  }

  #change(phase: Phase): void {
    this.#phase = phase;
    this.#options.onChange();
  }
}

/** A process that has just died takes no message; its exit tells the rest. */
const send = (child: ChildProcess, message: ToProcess): void => {
  if (child.connected) child.send(message, () => {});
};

function errorOf({ kind, message }: Extract<FromProcess, { type: 'error' }>): Error {
  switch (kind) {
    case 'invalid_input':
      return new InvalidInputError(message);
    case 'output_too_large':
      return new OutputTooLargeError(message);
    case 'internal':
      return new InferenceFailedError(message);
  }
}
