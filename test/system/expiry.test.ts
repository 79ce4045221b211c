/* Results have their time: then they are gone, and say so. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Prediction } from '../../src/contract/prediction.ts';
import { until } from '../support/conditions.ts';
import { affine, Service } from '../support/service.ts';

let service: Service;

beforeAll(async () => {
  service = await Service.start({ BUZZER_RESULT_TTL: '8s', BUZZER_ENGINE_INLINE_LIMIT: '0' });
});
afterAll(async () => {
  await service.close();
});

async function read(id: string): Promise<[number, string | undefined]> {
  const answer = await fetch(`${service.url}/v1/predictions/${id}`);
  return [answer.status, ((await answer.json()) as { code?: string }).code];
}

const isGone = async (id: string) =>
  await service.temporalCli('workflow', 'describe', '--workflow-id', id).then(
    () => undefined,
    () => true as const,
  );

test('what has expired is answered as such at once, swept, and remembered by its tombstone', async () => {
  const record = await service.ended((await service.submit('affine', affine())).id);
  expect(service.payloads()).toContain(record.id);
  expect(Date.parse(record.expires_at ?? '') - Date.parse(record.completed_at ?? '')).toBe(8000);
  const key = { 'Idempotency-Key': 'expires' };
  const order = { model: 'affine', input: affine() };
  const keyed = (await (await service.post(order, key)).json()) as Prediction;
  await service.ended(keyed.id);

  await until('its time', async () => ((await read(record.id))[0] === 410 ? true : undefined));
  expect(await read(record.id)).toEqual([410, 'expired']);
  await until('the sweep', () => (service.payloads().includes(record.id) ? undefined : true));
  await until('Temporal to forget it', async () => await isGone(record.id), 90_000);
  await until('Temporal to forget the other', async () => await isGone(keyed.id), 90_000);

  expect(await read(record.id)).toEqual([410, 'expired']);
  expect(readdirSync(join(service.dataDir, 'payloads', 'tombstones'))).toContain(record.id);
  const again = await service.post(order, key);
  expect([again.status, ((await again.json()) as { code: string }).code]).toEqual([410, 'expired']);
});

test('what has not ended is never swept', async () => {
  const order = { model: 'affine', input: affine(), start_after: '1h' };
  const { id } = (await (await service.post(order)).json()) as Prediction;
  const other = await service.ended((await service.submit('affine', affine())).id);
  await until('a sweep', () => (service.payloads().includes(other.id) ? undefined : true));

  expect(await service.read(id)).toMatchObject({
    status: 'queued',
    queue: { reason: 'scheduled' },
  });
  expect(service.payloads()).toContain(id);
});
