import { randomUUID } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { newSigningSecret, signatureHeader } from '../../../src/webhooks/signature.ts';

test('the vector that four libraries agree on', () => {
  const body = Buffer.from(
    '{"type":"job.succeeded","timestamp":"2026-01-01T00:00:00Z","data":{"id":"job_1","note":"é"}}',
  );
  const secret = 'whsec_YnV6emVyLXN0YW5kYXJkLXdlYmhvb2stdGVzdGtleSE=';

  expect(signatureHeader({ id: 'msg_1', timestampS: 1_767_225_600, body }, [secret])).toBe(
    'v1,JfrdOQAAivX6MBhOmpbQ/9PCZ6/wHNpnwx2H0twFb5M=',
  );
});

test('the library of the standard accepts what we sign with either secret, and nothing else', () => {
  const [present, before, other] = [newSigningSecret(), newSigningSecret(), newSigningSecret()];
  const id = `evt_${randomUUID()}`;
  const timestampS = Math.floor(Date.now() / 1000);
  const body = Buffer.from('{"type":"ping"}');
  const headers = {
    'webhook-id': id,
    'webhook-timestamp': String(timestampS),
    'webhook-signature': signatureHeader({ id, timestampS, body }, [present, before]),
  };
  const verify = (secret: string, text: string) => new Webhook(secret).verify(text, headers);

  expect(verify(present, body.toString())).toEqual({ type: 'ping' });
  expect(verify(before, body.toString())).toEqual({ type: 'ping' });
  expect(() => verify(other, body.toString())).toThrow('No matching signature');
  expect(() => verify(present, '{"type":"pong"}')).toThrow('No matching signature');
});
