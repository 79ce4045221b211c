/*
 * Saves the histories that every later version of the workflow must replay. Run once for each
 * change of what a history looks like: npx tsx test/support/save-histories.ts <suffix>
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { affine, burn, Service } from './service.ts';

const suffix = process.argv[2] ?? '1';
const folder = 'test/workflows/histories';
const service = await Service.start();

async function save(name: string, id: string): Promise<void> {
  const history = await service.temporalCli('workflow', 'show', '-w', id, '-o', 'json');
  await writeFile(join(folder, `${name}.${suffix}.json`), history);
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
await service.close();
