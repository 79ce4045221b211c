/*
 * Saves the histories that every later version of the workflow must replay. Run once for each
 * change of what a history looks like: npx tsx test/support/save-histories.ts <suffix>
 */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { until } from './conditions.ts';
import { startReceiver } from './receiver.ts';
import { affine, burn, Service } from './service.ts';

const suffix = process.argv[2] ?? '1';
const folder = 'test/workflows/histories';
const receiver = await startReceiver((path, response, count) => {
  if (path === '/page.png') {
    response.end(readFileSync('examples/page.png'));
    return;
  }
  response.statusCode = count === 1 ? 503 : 200;
  response.end();
});
const service = await Service.start({
  BUZZER_OUTBOUND_ALLOW: 'http://127.0.0.1',
  BUZZER_WEBHOOK_SCHEDULE: '0s,100ms',
});

async function save(name: string, id: string): Promise<void> {
  const history = await service.temporalCli('workflow', 'show', '-w', id, '-o', 'json');
  // Stack traces name the folder it was run in, identities the machine: nobody's business.
  const text = history.replaceAll(process.cwd(), '').replaceAll(`-${hostname()}-`, '-host-');
  await writeFile(join(folder, `${name}.${suffix}.json`), text);
  console.log(`${name}: ${id}`);
}

const success = await service.submit('affine', affine());
await service.ended(success.id);
await save('success', success.id);

const failure = await service.submit('ocr', {
  image: `data:image/png;base64,${Buffer.from('89504e470d0a1a0a0000000d494844520000000100000001', 'hex').toString('base64')}`,
});
await service.ended(failure.id);
await save('failure', failure.id);

const cancel = await service.submit('burn', burn(60));
await service.processing(cancel.id);
await service.busyModelProcess();
await service.cancel(cancel.id);
await service.ended(cancel.id);
await save('cancel', cancel.id);

const crash = await service.submit('burn', burn(2));
await service.processing(crash.id);
process.kill(await service.busyModelProcess(), 'SIGKILL');
await service.ended(crash.id);
await save('crash-and-retry', crash.id);

const reset = await service.submit('burn', burn(0.2));
const first = await service.ended(reset.id);
await service.temporalCli(
  'workflow',
  'reset',
  '--workflow-id',
  reset.id,
  '--type=FirstWorkflowTask',
  '--reason=saved',
);
await service.readUntil(reset.id, 'to end again', ({ completed_at: at }) => {
  return at !== null && at !== first.completed_at;
});
await save('reset', reset.id);

const told = await service.post({ model: 'affine', input: affine(), webhook: receiver.url });
const { id: toldId } = (await told.json()) as { id: string };
await receiver.at('/', 2);
await service.ended(toldId);
await save('webhook', toldId);
await until('the delivery to close', async () => {
  const text = await service.temporalCli('workflow', 'describe', '-w', `${toldId}.webhook`);
  return text.includes('COMPLETED') ? true : undefined;
});
await save('delivery', `${toldId}.webhook`);

const fetched = await service.submit('ocr', { image: `${receiver.url}/page.png` });
await service.ended(fetched.id);
await save('fetched-input', fetched.id);

await service.inference.signal('SIGTERM');
const changed = await service.submit('affine', affine());
await until('its terms to change', async () => {
  const response = await fetch(`${service.url}/v1/predictions/${changed.id}`, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ priority: 1, deadline: '2h' }),
  });
  return response.ok ? true : undefined;
});
await service.inference.start();
await service.ended(changed.id);
await save('changed-terms', changed.id);

const again = await service.ended(changed.id);
await service.inference.signal('SIGTERM');
await service.temporalCli(
  'workflow',
  'reset',
  '--workflow-id',
  changed.id,
  '--type=FirstWorkflowTask',
  '--reason=saved',
);
await until('the change to be there again', async () => {
  const history = await service.temporalCli('workflow', 'show', '-w', changed.id);
  return history.includes('WorkflowExecutionUpdateCompleted') ? true : undefined;
});
await service.inference.start();
await service.readUntil(changed.id, 'to end again', ({ completed_at: at }) => {
  return at !== null && at !== again.completed_at;
});
await save('changed-and-reset', changed.id);

await service.close();
await receiver.close();
process.exit(0);
