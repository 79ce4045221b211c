/*
 * The processes of `npm start`: each is started, its output prefixed, restarted with back-off when
 * it dies, and stopped. None outlives the launcher.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { backoffDelayMs } from '../model/backoff.ts';
import { type Command, tieToParent, watchParent } from '../model/tied-process.ts';

const EXIT_CONFIG = 78; // EX_CONFIG of sysexits.h: no restart can help
const STABLE_AFTER_MS = 10_000; // up for this long: the next death is the first again

export interface ProcessOptions {
  readonly name: string;
  readonly command: Command;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether it sends `{type: 'ready'}` over IPC. */
  readonly saysReady: boolean;
  /** Prints one line for this process. */
  readonly print: (line: string) => void;
  /** Called when it ended because of its configuration: restarting cannot help. */
  readonly onFatal: () => void;
}

export interface ManagedProcess {
  readonly name: string;
  /** Resolves when it is ready for the first time. */
  readonly ready: Promise<void>;
  readonly pid: () => number | undefined;
  /** Asks it to end and waits; kills it when it takes longer than `patienceMs`. */
  stop(patienceMs: number): Promise<void>;
  /** Kills it at once. */
  kill(): void;
}

export function startProcess(options: ProcessOptions): ManagedProcess {
  const { name, command, environment, print } = options;
  let child: ChildProcess;
  let isStopping = false;
  let deaths = 0;
  let restartTimer: NodeJS.Timeout | undefined;
  let markReady: () => void;
  const ready = new Promise<void>((resolve) => {
    markReady = resolve;
  });

  const launch = () => {
    const startedAtMs = Date.now();
    const tied = tieToParent(command, environment['PATH'] ?? '');
    const isUntied = tied === command && !options.saysReady; // nor will it see a disconnect
    const { file, args } = isUntied ? watchParent(command) : tied;
    const stdio = ['ignore', 'pipe', 'pipe', ...(options.saysReady ? (['ipc'] as const) : [])];
    child = spawn(file, args, {
      env: environment,
      stdio: stdio as ['ignore', 'pipe', 'pipe'],
      detached: true, // a process group of its own: Ctrl-C reaches only us, and we stop in order
    });
    forwardLines(child.stdout, print);
    forwardLines(child.stderr, print);
    child.on('message', () => markReady());
    child.once('error', (error) => print(`cannot be started: ${error.message}`));
    child.once('exit', (code, signal) => {
      if (isStopping) return;
      if (code === EXIT_CONFIG) {
        options.onFatal();
        return;
      }
      deaths = Date.now() - startedAtMs > STABLE_AFTER_MS ? 1 : deaths + 1;
      const delayMs = backoffDelayMs(deaths);
      print(`ended (${signal ?? `exit code ${code}`}); starting it again in ${delayMs} ms`);
      restartTimer = setTimeout(launch, delayMs);
    });
  };
  launch();

  return {
    name,
    ready,
    pid: () => child.pid,
    async stop(patienceMs) {
      isStopping = true;
      clearTimeout(restartTimer);
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
      await ended;
      clearTimeout(timer);
    },
    kill() {
      isStopping = true;
      clearTimeout(restartTimer);
      child.kill('SIGKILL');
    },
  };
}

function forwardLines(stream: Readable | null, print: (line: string) => void): void {
  if (stream !== null) createInterface({ input: stream }).on('line', print);
}
