/*
 * The processes of `npm start`: each is started, its output prefixed, restarted with back-off when
 * it dies, and stopped. None outlives the launcher.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { EXIT_CONFIG } from '../contract/exit-status.ts';
import { backoffDelayMs } from '../runtime/backoff.ts';
import { type Command, tieToParent, watchParent } from '../runtime/tied-process.ts';

const STABLE_AFTER_MS = 10_000; // after so long, the next death counts as the first

export interface ProcessOptions {
  readonly command: Command;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether the process sends `{type: 'ready'}` over IPC. */
  readonly saysReady: boolean;
  /** Prints one line of its output, or about it. */
  readonly print: (line: string) => void;
  /** Called when it ended because of its configuration: restarting cannot help. */
  readonly onFatal: () => void;
}

export class ManagedProcess {
  /** Resolves when it is ready for the first time. */
  readonly ready: Promise<void>;
  readonly #options: ProcessOptions;
  #child: ChildProcess;
  #markReady: () => void = () => {};
  #isRetired = false;
  #deaths = 0;
  #restartTimer: NodeJS.Timeout | undefined;

  /** Starts it. */
  constructor(options: ProcessOptions) {
    this.#options = options;
    this.ready = new Promise((resolve) => {
      this.#markReady = resolve;
    });
    this.#child = this.#launch();
  }

  /** From now on the process is not started again when it ends. */
  retire(): void {
    this.#isRetired = true;
    clearTimeout(this.#restartTimer);
  }

  /** Asks it to end and waits; kills it when it takes longer than `patienceMs`. */
  async stop(patienceMs: number): Promise<void> {
    this.retire();
    const child = this.#child;
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
    await ended;
    clearTimeout(timer);
  }

  /** Kills it at once. */
  kill(): void {
    this.retire();
    this.#child.kill('SIGKILL');
  }

  #launch(): ChildProcess {
    const { command, environment, saysReady, print } = this.#options;
    const startedAtMs = Date.now();
    const tied = tieToParent(command, environment['PATH'] ?? '');
    const isUntied = tied === command && !saysReady; // it will not notice a disconnect either
    const { file, args } = isUntied ? watchParent(command) : tied;
    const child = spawn(file, args, {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe', ...(saysReady ? (['ipc'] as const) : [])],
      detached: true, // a process group of its own: Ctrl-C reaches only us, and we stop in order
    });
    forwardLines(child.stdout, print);
    forwardLines(child.stderr, print);
    child.on('message', () => this.#markReady());
    child.once('error', (error) => print(`cannot be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      const how = signal ?? `exit code ${code}`;
      if (!this.#isRetired) this.#onDeath(code, how, Date.now() - startedAtMs);
    });
    return child;
  }

  #onDeath(code: number | null, how: string, uptimeMs: number): void {
    if (code === EXIT_CONFIG) {
      this.#options.onFatal();
      return;
    }
    this.#deaths = uptimeMs > STABLE_AFTER_MS ? 1 : this.#deaths + 1;
    const delayMs = backoffDelayMs(this.#deaths);
    this.#options.print(`ended (${how}); starting it again in ${delayMs} ms`);
    this.#restartTimer = setTimeout(() => {
      this.#child = this.#launch();
    }, delayMs);
  }
}

function forwardLines(stream: Readable | null, print: (line: string) => void): void {
  if (stream !== null) createInterface({ input: stream }).on('line', print);
}
