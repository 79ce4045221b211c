/* A prediction under way: when it waits and by which terms, which may change while it does. */
import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  setHandler,
  sleep,
  upsertMemo,
  workflowInfo,
} from '@temporalio/workflow';
import { parseDurationMs } from '../contract/duration.ts';
import {
  type ChangedTerms,
  changeTermsUpdate,
  type InferOptions,
  MEMO_ACCEPTED,
  type PredictionRequest,
} from '../contract/messages.ts';
import { type Accepted, DEFAULT_PRIORITY } from '../contract/prediction.ts';
import { changeWaiting, inferOptions } from './activities.ts';

interface Queued {
  readonly atMs: number;
  readonly hasStarted: boolean;
  /** Of the workflow task that schedules its activity. */
  readonly historyLength: number;
}

export class Underway {
  readonly #heartbeatTimeoutMs: number;
  #accepted: Accepted;
  /** When it came into its model's queue for the first time. */
  #firstQueuedAtMs: number | null = null;
  /** The latest time; null before the first. */
  #queued: Queued | null = null;
  #hasEnded = false;
  /** One change after the other: the record and the activity are to have the same terms. */
  #changing: Promise<void> = Promise.resolve();

  constructor({ accepted, heartbeatTimeoutMs }: PredictionRequest) {
    this.#accepted = accepted;
    this.#heartbeatTimeoutMs = heartbeatTimeoutMs;
    setHandler(
      changeTermsUpdate,
      async (terms) => {
        this.#changing = this.#changing.catch(() => {}).then(async () => await this.#change(terms));
        await this.#changing;
      },
      { validator: (_terms: ChangedTerms) => this.#requireUnended() },
    );
  }

  /** What was accepted, with the terms of now. */
  get accepted(): Accepted {
    return this.#accepted;
  }

  /** What is left of the deadline, and of the wait for the first attempt, in ms; never above 0 once over. */
  left(): { readonly deadlineMs: number; readonly queueTtlMs: number } {
    const nowMs = Date.now();
    return { deadlineMs: this.#deadlineMs(nowMs), queueTtlMs: this.#queueTtlMs(nowMs) };
  }

  /** Puts it into its model's queue; answers with how `infer` is to be scheduled. */
  queue(hasStarted: boolean): InferOptions {
    const atMs = Date.now();
    this.#firstQueuedAtMs ??= atMs;
    this.#queued = { atMs, hasStarted, historyLength: workflowInfo().historyLength };
    return this.#options(this.#queued);
  }

  /** From now on its terms stay; resolves when a change that was accepted before is answered. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    if (allHandlersFinished()) return;
    await CancellationScope.nonCancellable(async () => await condition(allHandlersFinished));
  }

  async #change(terms: ChangedTerms): Promise<void> {
    this.#requireUnended();
    const before = this.#accepted;
    const { deadline } = terms;
    const isWhole = before.queue_ttl === before.deadline; // it may wait all the time: it stays so
    const follows = isWhole && deadline !== undefined ? { queue_ttl: deadline } : {};
    this.#accepted = { ...before, ...follows, ...terms };
    if (this.#queued !== null) {
      await this.#scheduled(this.#queued);
      await changeWaiting({ id: before.id, options: this.#options(this.#queued) });
    }
    upsertMemo({ [MEMO_ACCEPTED]: this.#accepted });
  }

  #requireUnended(): void {
    if (this.#hasEnded) throw ApplicationFailure.nonRetryable(`${this.#accepted.id} has ended`);
  }

  /** Temporal knows of an activity when the workflow task that scheduled it is over. */
  async #scheduled({ historyLength }: Queued): Promise<void> {
    if (workflowInfo().historyLength === historyLength) await sleep(1);
  }

  #options({ atMs, hasStarted }: Queued): InferOptions {
    const { run_timeout: runTimeout, priority = DEFAULT_PRIORITY, tenant } = this.#accepted;
    return inferOptions({
      heartbeatTimeoutMs: this.#heartbeatTimeoutMs,
      runTimeoutMs: parseDurationMs(runTimeout) ?? 0,
      remainingMs: Math.max(1, this.#deadlineMs(atMs)),
      queueTtlMs: hasStarted ? null : Math.max(1, this.#queueTtlMs(atMs)),
      priority,
      tenant,
    });
  }

  #deadlineMs(atMs: number): number {
    return Date.parse(this.#accepted.deadline_at) - atMs;
  }

  #queueTtlMs(atMs: number): number {
    const ttlMs = parseDurationMs(this.#accepted.queue_ttl) ?? Infinity;
    return (this.#firstQueuedAtMs ?? atMs) + ttlMs - atMs;
  }
}
