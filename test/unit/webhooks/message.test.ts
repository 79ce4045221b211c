import type { Accepted, Ended } from '../../../src/contract/prediction.ts';
import { endEvent } from '../../../src/contract/webhook.ts';
import { messageBody } from '../../../src/webhooks/message.ts';

const settings = { publicUrl: 'https://buzzer.example' };
const claim = { key: 'predictions/x/output.r.1', bytes: 9, sha256: 'ab', media_type: 'image/png' };

const accepted = (text: string): Accepted => ({
  id: 'pred_00000000000000000000000000',
  tenant: 'default',
  model: 'ocr',
  version: 1,
  input: { text: { kind: 'inline', value: text }, image: { kind: 'claim', claim } },
  options: {},
  metadata: {},
  tags: [],
  priority: 3,
  result_ttl: '1h',
  queue_ttl: '1h',
  run_timeout: '1m',
  deadline: '1h',
  created_at: '2026-01-01T00:00:00.000Z',
  deadline_at: '2026-01-01T01:00:00.000Z',
});
const ended: Ended = {
  status: 'succeeded',
  output: { kind: 'claim', claim },
  attempt: 1,
  started_at: '2026-01-01T00:00:01.000Z',
  completed_at: '2026-01-01T00:00:02.000Z',
  metrics: {
    queue_ms: 1,
    load_ms: null,
    wait_ms: 0,
    inference_ms: 2,
    total_ms: 3,
    batch_size: 1,
    device: 'cpu',
    worker: 'w',
    tokens: null,
  },
};
const told = (text: string, end: Ended = ended) => {
  const body = messageBody(
    endEvent({ type: 'prediction', accepted: accepted(text), ended: end }),
    settings,
  );
  return {
    bytes: body.length,
    text: body.toString(),
    message: JSON.parse(body.toString()) as object,
  };
};

test('the record is in it; what lies in the store is where it can be read, and no key is shown', () => {
  const { message, text } = told('short');

  expect(message).toMatchObject({
    type: 'prediction.succeeded',
    timestamp: ended.completed_at,
    data: {
      object: 'prediction',
      input: { text: 'short', image: { bytes: 9 } },
      output: null,
      output_url: 'https://buzzer.example/v1/predictions/pred_00000000000000000000000000/output',
      expires_at: '2026-01-01T01:00:02.000Z',
    },
  });
  expect(text).not.toContain('predictions/x/output');
});

test('images are told by their URLs', () => {
  const images = { seed: 1, images: [{ width: 64, height: 64, flagged: null }] };
  const { message, text } = told('short', {
    ...ended,
    status: 'succeeded',
    output: { kind: 'inline', value: images },
    images: [claim],
  });
  const url = 'https://buzzer.example/v1/predictions/pred_00000000000000000000000000/output/0';
  const facts = { url, bytes: 9, sha256: 'ab', media_type: 'image/png' };

  expect(message).toMatchObject({
    data: { output: { seed: 1, images: [{ ...facts, width: 64, height: 64, flagged: null }] } },
  });
  expect(text).not.toContain('predictions/x/output');
});

test('above 20 KB it is thin: id, status and where to read the rest', () => {
  const fits = told('x'.repeat(18_000));
  const large = told('x'.repeat(20_000));

  expect(fits.bytes).toBeLessThanOrEqual(20_000);
  expect(fits.message).toHaveProperty('data.input');
  expect(large.message).toEqual({
    type: 'prediction.succeeded',
    timestamp: ended.completed_at,
    data: {
      id: 'pred_00000000000000000000000000',
      status: 'succeeded',
      urls: expect.objectContaining({
        get: 'https://buzzer.example/v1/predictions/pred_00000000000000000000000000',
      }) as unknown,
    },
  });
});

test('a prediction that was aborted is told as such', () => {
  const error = {
    code: 'queue_timeout',
    message: 'late',
    retryable: true,
    attempt: 0,
    reason: null,
  } as const;
  const end: Ended = { ...ended, status: 'aborted', error };

  expect(told('x', end).message).toMatchObject({ type: 'prediction.aborted', data: { error } });
});
