import type { AttemptOutcome } from '../activities/inference.ts';
import { type ModelRef, modelRefOf } from '../contract/model.ts';
import type {
  BatchFacts,
  ModelRuntime,
  RestartCause,
  RuntimeObserver,
} from '../runtime/runtime.ts';
import { createInferenceInstruments } from '../telemetry/metrics.ts';

const STATES = ['idle', 'loading', 'ready', 'unavailable'] as const;
const MS_PER_SECOND = 1000;

const labelsOf = ({ name, version }: ModelRef) => ({ model: name, version: String(version) });

/** The metrics of this worker for Prometheus. */
export class InferenceMetrics implements RuntimeObserver {
  readonly #instruments = createInferenceInstruments();
  #runtime: ModelRuntime | null = null;

  constructor(requestedDevice: string, device: string) {
    this.#instruments.device.set({ requested: requestedDevice, device }, 1);
  }

  /** From now on the states of `runtime` are part of every answer. */
  watch(runtime: ModelRuntime): void {
    this.#runtime = runtime;
  }

  batchDone(model: ModelRef, { queueMs, inferenceMs, tokens }: BatchFacts): void {
    const { batchSize, queueTime, inferenceTime, tokens: counter } = this.#instruments;
    const labels = labelsOf(model);
    batchSize.observe(labels, queueMs.length);
    inferenceTime.observe(labels, inferenceMs / MS_PER_SECOND);
    for (const ms of queueMs) queueTime.observe(labels, ms / MS_PER_SECOND);
    for (const each of tokens) {
      if (each === null) continue;
      counter.inc({ ...labels, kind: 'prompt' }, each.prompt);
      counter.inc({ ...labels, kind: 'completion' }, each.completion);
    }
  }

  firstPart(model: ModelRef, ms: number): void {
    this.#instruments.firstToken.observe(labelsOf(model), ms / MS_PER_SECOND);
  }

  processReplaced(model: ModelRef, cause: RestartCause): void {
    this.#instruments.restarts.inc({ ...labelsOf(model), cause });
  }

  attemptEnded(model: ModelRef, outcome: AttemptOutcome): void {
    this.#instruments.attempts.inc({ ...labelsOf(model), outcome });
  }

  itemsEnded(model: ModelRef, outcome: 'succeeded' | 'failed', count: number): void {
    this.#instruments.items.inc({ ...labelsOf(model), outcome }, count);
  }

  /** The text of /metrics. */
  async text(): Promise<string> {
    const { registry, state, replicas, slots, running, waiting, memory } = this.#instruments;
    const gauges = [state, replicas, slots, running, waiting, memory];
    for (const gauge of gauges) gauge.reset(); // a version that is no longer served has no values
    for (const served of this.#runtime?.states() ?? []) {
      const labels = labelsOf(modelRefOf(served));
      for (const each of STATES)
        state.set({ ...labels, state: each }, Number(served.state === each));
      replicas.set(labels, served.replicas);
      slots.set(labels, served.slots);
      running.set(labels, served.running);
      waiting.set(labels, served.waiting);
      if (served.rss_bytes !== null) memory.set(labels, served.rss_bytes);
    }
    return await registry.metrics();
  }

  /** Whether any model version could serve a request. */
  isReady(): boolean {
    return (this.#runtime?.states() ?? []).some(({ state }) => state !== 'unavailable');
  }
}
