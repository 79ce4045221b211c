/* What an operator does with the Temporal CLI shows in the records that clients read. */
import { burn, Service } from '../support/service.ts';

let service: Service;

beforeAll(async () => {
  service = await Service.start();
});
afterAll(async () => await service.close());

test('temporal workflow cancel cancels the prediction', async () => {
  const { id } = await service.submit('burn', burn(60));
  await service.processing(id);
  await service.temporalCli('workflow', 'cancel', '-w', id);

  expect(await service.ended(id)).toMatchObject({ status: 'canceled', error: null });
});

test('temporal workflow terminate shows as failed with the code terminated', async () => {
  const { id } = await service.submit('burn', burn(2));
  await service.processing(id);
  await service.temporalCli('workflow', 'terminate', '-w', id, '--reason', 'test');
  const record = await service.ended(id);
  const listed = await fetch(`${service.url}/v1/predictions?status=failed`);

  expect(record).toMatchObject({
    status: 'failed',
    output: null,
    error: { code: 'terminated', retryable: true },
  });
  expect(record.completed_at).not.toBeNull();
  expect(await listed.json()).toMatchObject({ object: 'list' });
});

test('temporal workflow reset runs an ended prediction again under the same id', async () => {
  const { id } = await service.submit('burn', burn(0.3));
  const first = await service.ended(id);
  await service.temporalCli(
    'workflow',
    'reset',
    '--workflow-id',
    id,
    '--type=FirstWorkflowTask',
    '--reason=test',
  );
  const second = await service.readUntil(id, 'to end again', (record) => {
    return record.completed_at !== null && record.completed_at !== first.completed_at;
  });

  expect(second).toMatchObject({ status: 'succeeded', id, created_at: first.created_at });
});

test('the prediction query answers before and after the end', async () => {
  const { id } = await service.submit('burn', burn(2));
  await service.processing(id);
  const query = async () =>
    await service.temporalCli('workflow', 'query', '-w', id, '--name', 'prediction', '-o', 'json');
  const before = await query();
  await service.ended(id);
  const after = await query();

  expect(before).toContain('"status": "queued"');
  expect(after).toContain('"status": "succeeded"');
});

test('search attributes find predictions, and summaries say which model they are of', async () => {
  const { id } = await service.submit('burn', burn(0.1));
  await service.ended(id);
  const query = "BuzzerModel='burn' AND BuzzerVersion='1' AND BuzzerTenant='default'";
  const list = await service.temporalCli('workflow', 'list', '-q', query, '-o', 'json');
  const shown = await service.temporalCli('workflow', 'show', '-w', id, '-o', 'json');

  expect(list).toContain(id);
  for (const summary of ['burn@1 · default', 'burn@1']) {
    expect(shown).toContain(Buffer.from(`"${summary}"`).toString('base64')); // workflow and activity
  }
});
