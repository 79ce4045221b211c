/* What a record and a list cost when payloads, tombstones and states of workers lie in a bucket instead of in files. */
import { startS3 } from '../test/support/seaweed.ts';
import { affine, Service } from '../test/support/service.ts';
import { latencyMs, throughput } from './pairs.ts';

const PREDICTIONS = 100;
const READS = 200;
const LISTS = 30;

export async function measureObjectStore(): Promise<void> {
  const s3 = await startS3();
  try {
    await measure('in files', {});
    await measure('in a bucket', {
      ...s3.environment,
      BUZZER_PAYLOAD_STORE: `s3://${s3.bucket}/bench`,
    });
  } finally {
    await s3.close();
  }
}

async function measure(what: string, environment: Readonly<Record<string, string>>): Promise<void> {
  const service = await Service.startAlone({ BUZZER_LOG_LEVEL: 'warn', ...environment });
  try {
    const ids: string[] = [];
    await throughput(PREDICTIONS, 8, async () => {
      const { id } = await service.submit('affine', affine());
      ids.push(id);
    });
    for (const id of ids) await service.ended(id);
    let next = 0;
    const read = async () => {
      next += 1;
      await (await fetch(`${service.url}/v1/predictions/${ids[next % ids.length]}`)).json();
    };
    const list = async () => await (await fetch(`${service.url}/v1/predictions?limit=100`)).json();
    const [one, page] = [await latencyMs(READS, read), await latencyMs(LISTS, list)];
    console.log(
      `payloads ${what}: GET of a record ${one.toFixed(1)} ms, a list of 100 ${page.toFixed(1)} ms`,
    );
  } finally {
    await service.close();
  }
}
