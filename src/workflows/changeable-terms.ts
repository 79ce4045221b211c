/* The terms of a prediction under way: they may change until it has ended. */
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
  MAX_CHANGES,
  MEMO_ACCEPTED,
  NOT_CHANGEABLE,
  type PredictionRequest,
} from '../contract/messages.ts';
import { type Accepted, startsAt } from '../contract/prediction.ts';
import { changeInfer, inferOptions } from './activities.ts';

/** One scheduling of the infer activity. */
interface Scheduling {
  readonly atMs: number;
  /** Whether an attempt had started before: then `queue_ttl` no longer counts. */
  readonly hasStarted: boolean;
  /** The length of the history in the workflow task that scheduled it. */
  readonly historyLength: number;
}

export class ChangeableTerms {
  readonly #heartbeatTimeoutMs: number;
  #accepted: Accepted;
  #isFetching: boolean;
  #hasEnded = false;
  /** When the prediction came into the queue of its model. */
  #queuedAtMs: number | null = null;
  /** The latest scheduling. */
  #scheduling: Scheduling | null = null;
  /** The change under way: changes are made one after the other. */
  #changing: Promise<void> = Promise.resolve();
  #changes = 0;
  /** The scope of the change under way, which is canceled when the prediction has ended. */
  #scope: CancellationScope | null = null;

  constructor({ accepted, heartbeatTimeoutMs }: PredictionRequest) {
    this.#accepted = accepted;
    this.#heartbeatTimeoutMs = heartbeatTimeoutMs;
    this.#isFetching = Object.values(accepted.input).some(({ kind }) => kind === 'url');
  }

  /** Takes changes from clients from now on. */
  listen(): void {
    const change = async (terms: ChangedTerms) => {
      this.#changing = this.#changing.catch(() => {}).then(async () => await this.#change(terms));
      await this.#changing;
    };
    const validator = (_terms: ChangedTerms) => this.#requireChangeable();
    setHandler(changeTermsUpdate, change, { validator });
  }

  /** What was accepted, with the terms of now. */
  get accepted(): Accepted {
    return this.#accepted;
  }

  /** What is left of the deadline, and of the wait for the first attempt, in ms; 0 or less: over. */
  left(): { readonly deadlineMs: number; readonly queueTtlMs: number } {
    const nowMs = Date.now();
    return { deadlineMs: this.#deadlineMs(nowMs), queueTtlMs: this.#queueTtlMs(nowMs) };
  }

  /** How the infer activity is to be scheduled now. */
  schedule({ hasStarted }: Pick<Scheduling, 'hasStarted'>): InferOptions {
    const atMs = Date.now();
    this.#isFetching = false;
    this.#queuedAtMs ??= atMs;
    this.#scheduling = { atMs, hasStarted, historyLength: workflowInfo().historyLength };
    return this.#options(this.#scheduling);
  }

  /** Takes no more changes; resolves when every change is answered. */
  async end(): Promise<void> {
    this.#hasEnded = true;
    if (allHandlersFinished()) return;
    this.#scope?.cancel();
    await CancellationScope.nonCancellable(async () => await condition(allHandlersFinished));
  }

  /** The record has them at once; resolves when the activity has them too. */
  async #change({ deadline, ...others }: ChangedTerms): Promise<void> {
    this.#requireChangeable();
    this.#changes += 1;
    const before = this.#accepted;
    const times = deadline === undefined ? {} : timesBy(deadline, before);
    this.#write({ ...before, ...times, ...others });
    try {
      await CancellationScope.nonCancellable(async () => await this.#toActivity());
    } catch (error) {
      this.#write(before);
      throw this.#hasEnded ? notChangeable(`${before.id} has ended`) : error;
    }
  }

  #write(accepted: Accepted): void {
    this.#accepted = accepted;
    upsertMemo({ [MEMO_ACCEPTED]: accepted });
  }

  /** Sends the terms to the activity, and again when it was scheduled anew meanwhile. */
  async #toActivity(): Promise<void> {
    let sentFor: Scheduling | null = null;
    while (this.#scheduling !== sentFor && this.#scheduling !== null) {
      const scheduling: Scheduling = this.#scheduling;
      sentFor = scheduling;
      const { workflowId, runId, historyLength } = workflowInfo();
      // Temporal learns of an activity at the end of the workflow task that scheduled it.
      if (historyLength === scheduling.historyLength) await sleep(1);
      const options = this.#options(scheduling);
      this.#scope = new CancellationScope();
      await this.#scope.run(async () => await changeInfer({ workflowId, runId, options }));
    }
  }

  #requireChangeable(): void {
    const { id } = this.#accepted;
    if (this.#hasEnded) throw notChangeable(`${id} has ended`);
    if (this.#isFetching) {
      throw notChangeable(`${id} is having its input fetched: try again when that is done`);
    }
    if (this.#changes < MAX_CHANGES) return;
    throw notChangeable(`${id} was changed ${MAX_CHANGES} times: cancel it and submit it anew`);
  }

  #options({ atMs, hasStarted }: Scheduling): InferOptions {
    const { run_timeout: runTimeout, priority, tenant } = this.#accepted;
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
    return (this.#queuedAtMs ?? atMs) + ttlMs - atMs;
  }
}

const notChangeable = (why: string) => ApplicationFailure.nonRetryable(why, NOT_CHANGEABLE);

/** When `queue_ttl` equals the deadline, it follows the new deadline. */
function timesBy(
  deadline: string,
  before: Accepted,
): Pick<Accepted, 'queue_ttl' | 'deadline' | 'deadline_at'> {
  const deadlineAtMs = Date.parse(startsAt(before)) + (parseDurationMs(deadline) ?? 0);
  return {
    queue_ttl: before.queue_ttl === before.deadline ? deadline : before.queue_ttl,
    deadline,
    deadline_at: new Date(deadlineAtMs).toISOString(),
  };
}
