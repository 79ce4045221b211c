/* One attempt at an inference: what it reports of itself and of its work, in heartbeats and at its end. */
import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import type { AttemptReport, InferHeartbeat } from '../contract/failure.ts';
import type { InferRequest } from '../contract/messages.ts';
import { type ModelRef, modelRefOf } from '../contract/model.ts';
import { payloadKeys } from '../contract/payload.ts';
import { isProgress, pagesOf, type Part, type WorkSoFar } from '../contract/work.ts';
import { type ModelRuntime, notServed } from '../runtime/runtime.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { WorkKeeper } from './work-keeper.ts';

const FIRST_HEARTBEAT_MS = 50; // the workflow sees by it that an attempt has started
const HEARTBEAT_INTERVAL_MS = 1000;
/** Checkpoints and previews are read at once, and each replaces the one before. */
const KEEP_IMAGES_MS = 10_000;
const STREAMING_HEARTBEAT_INTERVAL_MS = 200; // how late a worker may learn of a cancel

export interface AttemptDependencies {
  readonly runtime: Pick<ModelRuntime, 'factsOf'>;
  readonly store: PayloadStore;
  /** The most bytes of work that a heartbeat holds. */
  readonly engineInlineLimit: number;
  readonly worker: string;
  /** Told how long after its acceptance the first part of a prediction's work was done. */
  readonly onFirstPart: (model: ModelRef, ms: number) => void;
}

export class Attempt {
  readonly #request: InferRequest;
  readonly #dependencies: AttemptDependencies;
  readonly #context = Context.current();
  /** What the attempts before it have told. */
  readonly #earlier: WorkSoFar | null;
  #report: AttemptReport;
  #work: WorkKeeper | null = null;
  /** A part of the work is done, by this attempt or one before it. */
  #isUnderWay = false;
  #hasProgressed = false;
  #timer: NodeJS.Timeout;

  /** Heartbeats on a timer until `stop`, so that a busy device is never mistaken for a dead worker. */
  constructor(request: InferRequest, dependencies: AttemptDependencies) {
    const { attempt: activityAttempt, heartbeatDetails } = this.#context.info;
    const heartbeat = heartbeatDetails as InferHeartbeat | undefined;
    const { earlier } = request;
    this.#request = request;
    this.#dependencies = dependencies;
    this.#earlier = heartbeat?.partial ?? earlier.partial ?? null;
    this.#report = {
      attempt: earlier.attempts + activityAttempt,
      activity_attempt: activityAttempt,
      started_at: new Date().toISOString(),
      worker: dependencies.worker,
      deaths: heartbeat?.report.deaths ?? earlier.deaths,
      alone: heartbeat?.report.alone ?? earlier.alone,
      progress: null,
    };
    const isStreaming = dependencies.runtime.factsOf(modelRefOf(request))?.isStreaming === true;
    // The SDK holds back a heartbeat that follows another one, so that an empty one would delay the first text.
    const [firstMs, intervalMs] = isStreaming
      ? [STREAMING_HEARTBEAT_INTERVAL_MS, STREAMING_HEARTBEAT_INTERVAL_MS]
      : [FIRST_HEARTBEAT_MS, HEARTBEAT_INTERVAL_MS];
    this.#timer = setTimeout(() => {
      this.#beat();
      this.#timer = setInterval(() => this.#beat(), intervalMs);
    }, firstMs);
  }

  get report(): AttemptReport {
    return this.#report;
  }

  /** What is done by this attempt and those before it; null: nothing. */
  get partial(): WorkSoFar | null {
    return this.#work === null ? this.#earlier : this.#work.told;
  }

  /** The attempt that began with nothing; null: this model does not tell its work. */
  get since(): number | null {
    return this.#work?.hasAdded === true || this.partial !== null
      ? (this.#work?.since ?? null)
      : null;
  }

  /** Whether the next attempt would begin with more than this one did. */
  get hasProgressed(): boolean {
    return this.#hasProgressed;
  }

  /** Opens what is done, to go on with it. */
  async openWork(): Promise<WorkKeeper> {
    const { runtime, store, engineInlineLimit } = this.#dependencies;
    const { attempt } = this.#report;
    const runId = this.#context.info.workflowExecution?.runId ?? 'none';
    const model = modelRefOf(this.#request);
    const facts = runtime.factsOf(model);
    if (facts === null) throw notServed(model);
    const { identity, version } = facts;
    const isOfImages = version.schema.streaming?.kind === 'images';
    const work = await WorkKeeper.open(
      {
        store,
        engineInlineLimit,
        attempt,
        key: workKey(this.#request, identity),
        partKey: (count) => payloadKeys.work(this.#request, runId, attempt, count),
        ...(isOfImages ? { keepReplacedMs: KEEP_IMAGES_MS } : {}),
        onChange: () => this.#beat(),
      },
      this.#earlier,
    );
    this.#work = work;
    this.#isUnderWay = !work.isEmpty;
    return work;
  }

  /** Adds a part to the work. */
  add(part: Part): void {
    this.#work?.add(part);
    this.#hasProgressed ||= isProgress(part);
    const isDone = pagesOf(part)?.length !== 0; // not only begun
    if (this.#isUnderWay || !isDone) return;
    this.#isUnderWay = true;
    const ms = Math.max(0, Date.now() - Date.parse(this.#request.created_at));
    this.#dependencies.onFirstPart(modelRefOf(this.#request), ms);
  }

  /** Changes the report; the heartbeat carries it to the next attempt. */
  update(change: Partial<AttemptReport>): void {
    this.#report = { ...this.#report, ...change };
    this.#beat();
  }

  /** All that is done is told: the attempt has failed or was stopped. */
  async settle(): Promise<void> {
    await this.#work?.settle();
  }

  /** The attempt has ended: it tells nothing any more. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer); // clears an interval as well
    await this.#work?.close();
  }

  #beat(): void {
    const heartbeat: InferHeartbeat = { report: this.#report, partial: this.partial };
    this.#context.heartbeat(heartbeat);
  }
}

/** The same for the same work: input, options and what the model computes. */
function workKey({ input, options }: InferRequest, identity: string): string {
  const inputs = Object.entries(input).map(([field, stored]) => [
    field,
    stored.kind === 'inline' ? stored.value : stored.claim.sha256,
  ]);
  return createHash('sha256')
    .update(JSON.stringify([identity, options, inputs]))
    .digest('hex');
}
