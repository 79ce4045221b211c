/*
 * Every metric: its name, its labels and its buckets. What is measured follows Triton's inference
 * server (counts, queue and compute time per model version), in Prometheus' base units.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

const MODEL = ['model', 'version'] as const;
const DEVICES = ['requested', 'device'] as const;
/** From a trivial graph to a page of dense print: 1 ms to 2 minutes. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120];
const BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** What an inference worker measures; `registry.metrics()` is the text of /metrics. */
export function createInferenceInstruments() {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: readonly string[] = MODEL) =>
    new Gauge({ name, help, labelNames, registers });
  const counter = (name: string, help: string, labelNames: readonly string[]) =>
    new Counter({ name, help, labelNames, registers });
  const histogram = (name: string, help: string, buckets: readonly number[]) =>
    new Histogram({ name, help, labelNames: MODEL, buckets: [...buckets], registers });
  return {
    registry,
    device: gauge('buzzer_device_info', 'The device asked for and the one in use.', DEVICES),
    state: gauge('buzzer_model_state', '1 for the state a model version is in.', [
      ...MODEL,
      'state',
    ]),
    replicas: gauge('buzzer_model_replicas', 'Model processes a version may have.'),
    slots: gauge('buzzer_model_slots', 'Predictions a version takes at once.'),
    running: gauge('buzzer_inferences_running', 'Inferences in a model process.'),
    waiting: gauge('buzzer_inferences_waiting', 'Inferences waiting for a model process.'),
    memory: gauge('buzzer_model_memory_bytes', 'Resident memory of its model processes.'),
    attempts: counter(
      'buzzer_attempts_total',
      'Attempts that have ended: succeeded, canceled, or the code of their failure.',
      [...MODEL, 'outcome'],
    ),
    items: counter('buzzer_batch_items_total', 'Items of batches that are done.', [
      ...MODEL,
      'outcome',
    ]),
    restarts: counter(
      'buzzer_model_process_restarts_total',
      'Model processes that had to be replaced, by cause.',
      [...MODEL, 'cause'],
    ),
    batchSize: histogram('buzzer_batch_size', 'Inferences that ran as one.', BATCH_SIZES),
    queueTime: histogram(
      'buzzer_inference_queue_seconds',
      'From its arrival in the worker to the start of its batch.',
      SECONDS,
    ),
    inferenceTime: histogram(
      'buzzer_inference_duration_seconds',
      'How long a batch ran in its model process.',
      SECONDS,
    ),
    tokens: counter(
      'buzzer_tokens_total',
      'Tokens read (prompt) and written (completion) by models that count them.',
      [...MODEL, 'kind'],
    ),
    firstToken: histogram(
      'buzzer_time_to_first_token_seconds',
      'From acceptance to the first part of a text.',
      SECONDS,
    ),
  };
}
