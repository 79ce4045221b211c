/* The body of a webhook: the event as Standard Webhooks has it, with the record in it. */
import { finalBatch } from '../contract/batch.ts';
import { finalRecord, type RecordSettings, unreadOutput } from '../contract/prediction-record.ts';
import type { DeliveryEvent, Finished } from '../contract/webhook.ts';

/** The standard asks for less than 20 KB. A receiver reads a larger record with a GET. */
const MAX_BODY_BYTES = 20_000;

/** The same bytes for the same event, however often it is told. */
export function messageBody(event: DeliveryEvent, settings: RecordSettings): Buffer {
  const { type, timestamp, subject } = event;
  if (subject.type === 'ping') return encode({ type, timestamp, data: {} });
  const record = recordOf(subject, settings);
  const whole = encode({ type, timestamp, data: record });
  if (whole.length <= MAX_BODY_BYTES) return whole;
  const { id, status, urls } = record;
  return encode({ type, timestamp, data: { id, status, urls } });
}

function recordOf(subject: Finished, settings: RecordSettings) {
  const { publicUrl } = settings;
  if (subject.type === 'batch') return finalBatch(subject.accepted, subject.ended, publicUrl);
  const { accepted, ended } = subject;
  return finalRecord(accepted, ended, unreadOutput(accepted, ended, publicUrl), settings);
}

const encode = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
