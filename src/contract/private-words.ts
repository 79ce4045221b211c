/*
 * Where nothing that a client writes may lie in the engine (BUZZER_ENGINE_INLINE_LIMIT=0), a failure says one fixed
 * sentence for its code: its own message could repeat a piece of the input.
 */
import type { FailureCode } from './failure.ts';

const SENTENCES: Readonly<Record<FailureCode, string>> = {
  invalid_input: 'the model does not take this input',
  input_unavailable: 'an input could not be fetched from its URL',
  model_unavailable: 'the model cannot be loaded now',
  model_crashed: 'the model process ended during the run',
  poison_input: 'the model process ended each time this input was run; it is not tried again',
  run_timeout: 'the run took longer than it may',
  out_of_memory: 'the run needed more memory than it may have',
  worker_lost: 'the worker ended before the run was done',
  storage_unavailable: 'the payload store cannot be used',
  payload_missing: 'an input is no longer in the payload store: submit it again',
  payload_corrupt: 'an input in the payload store is not what was stored: submit it again',
  output_too_large: 'the output is larger than it may be',
  internal: 'something went wrong on our side; the log of the worker says what',
  queue_timeout: 'no worker started it within its queue_ttl',
  deadline_exceeded: 'the deadline passed before there was a result',
  terminated: 'the workflow was ended from outside',
};

export const sentenceOf = (code: FailureCode): string => SENTENCES[code];
