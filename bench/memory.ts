/* Memory in proportional set size: shared pages count once. Linux only. */
import { readFile } from 'node:fs/promises';
import { affine, modelProcesses, Service } from '../test/support/service.ts';
import { throughput } from './pairs.ts';

const PREDICTIONS = 2000;

export async function measureMemory(): Promise<void> {
  const service = await Service.startAlone({ BUZZER_LOG_LEVEL: 'warn' });
  const response = await fetch(`${service.url}/v1/models/ocr/predictions`, {
    method: 'POST',
    headers: { 'Content-Type': 'image/png', Prefer: 'wait' },
    body: await readFile('examples/page.png'),
  });
  await response.json();
  const processes = {
    temporal: [service.temporal.pid],
    api: [service.api.pid],
    orchestration: [service.orchestration.pid],
    inference: [service.inference.pid],
    'ocr model process': modelProcesses(service.inference.pid),
  };
  console.log('memory (PSS) after start and one page');
  let sum = 0;
  for (const [name, pids] of Object.entries(processes)) {
    const megabytes = (await Promise.all(pids.map(pssMb))).reduce((a, b) => a + b, 0);
    sum += megabytes;
    console.log(`  ${name}: ${megabytes.toFixed(0)} MB`);
  }
  console.log(`  together: ${sum.toFixed(0)} MB`);
  const submit = async () => {
    const accepted = await service.post({ model: 'affine', input: affine() }, { Prefer: 'wait' });
    await accepted.json();
  };
  await throughput(200, 16, submit); // the heap takes its working size
  const before = await pssMb(service.api.pid);
  await throughput(PREDICTIONS, 16, submit);
  const growth = (await pssMb(service.api.pid)) - before;
  console.log(`  the API grew by ${growth.toFixed(1)} MB over ${PREDICTIONS} predictions`);
  await service.close();
}

async function pssMb(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1]) / 1024;
}
