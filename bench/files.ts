/* A gigabyte through the API and through a worker: speed against plain tools, and memory. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import type { FileRecord } from '../src/contract/file.ts';
import { startS3 } from '../test/support/seaweed.ts';
import { Service } from '../test/support/service.ts';
import { headOfSilence } from '../test/support/wav.ts';
import { peakMegabytes } from './children.ts';
import { median } from './pairs.ts';

const BYTES = 1024 ** 3;
const PAIRS = 3;

export async function measureFiles(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'buzzer-bench-'));
  const path = join(folder, 'hour.wav');
  await writeSilence(path);
  try {
    await throughTheFileStore(path);
    await throughS3(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** A WAV file of silence: one that voice-activity reads, and whose size is that of a long recording. */
async function writeSilence(path: string): Promise<void> {
  const file = await open(path, 'w');
  const head = headOfSilence(BYTES);
  await file.write(head);
  await file.truncate(head.length + BYTES);
  await file.close();
}

async function throughTheFileStore(path: string): Promise<void> {
  const service = await Service.startAlone({ BUZZER_LOG_LEVEL: 'warn' });
  try {
    const copy = join(service.dataDir, 'payloads', 'copy');
    const floor = async () => {
      await shell(`cp ${path} ${copy} && sync ${copy} && sha256sum ${copy} > /dev/null`);
      await rm(copy);
    };
    await compare('the file store, against cp + sync + sha256sum', service, path, {
      up: floor,
      down: floor,
    });
  } finally {
    await service.close();
  }
}

async function throughS3(path: string): Promise<void> {
  const s3 = await startS3();
  const service = await Service.startAlone({
    BUZZER_LOG_LEVEL: 'warn',
    ...s3.environment,
    BUZZER_PAYLOAD_STORE: `s3://${s3.bucket}/bench`,
  });
  Object.assign(process.env, s3.environment);
  const client = new S3Client({ forcePathStyle: true });
  const object = { Bucket: s3.bucket, Key: 'floor' };
  try {
    await compare('S3, against its client alone', service, path, {
      up: async () => {
        const params = { ...object, Body: createReadStream(path) };
        await new Upload({ client, params, partSize: 8 * 1024 ** 2, queueSize: 2 }).done();
      },
      down: async () => {
        const { Body } = await client.send(new GetObjectCommand(object));
        await drain(Body as Readable);
      },
    });
  } finally {
    client.destroy();
    await service.close();
    await s3.close();
  }
}

interface Floor {
  readonly up: () => Promise<void>;
  readonly down: () => Promise<void>;
}

async function compare(what: string, service: Service, path: string, floor: Floor): Promise<void> {
  const ratios: { up: number[]; down: number[] } = { up: [], down: [] };
  const took: { up: number[]; down: number[] } = { up: [], down: [] };
  for (let pair = 0; pair <= PAIRS; pair++) {
    const startedAt = performance.now();
    const record = await upload(service, path);
    const up = (performance.now() - startedAt) / 1000;
    const floorUp = await seconds(floor.up);
    const down = await seconds(async () => await download(record));
    const floorDown = await seconds(floor.down);
    if (pair === PAIRS) await listen(service, record);
    else await fetch(record.urls.get, { method: 'DELETE' });
    if (pair === 0) continue; // caches are cold
    took.up.push(up);
    took.down.push(down);
    ratios.up.push(floorUp / up);
    ratios.down.push(floorDown / down);
  }
  const shown = (['up', 'down'] as const).map(
    (way) => `${way} ${median(took[way]).toFixed(1)} s, ${median(ratios[way]).toFixed(2)}`,
  );
  const peaks = (['api', 'inference'] as const).map(
    (part) => `${part} ${peakMegabytes(service[part].pid)} MB`,
  );
  console.log(`1 GiB through ${what}: ${shown.join('; ')}; peaks ${peaks.join(', ')}`);
}
async function seconds(once: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await once();
  return (performance.now() - startedAt) / 1000;
}

async function upload(service: Service, path: string): Promise<FileRecord> {
  return await new Promise((resolve, reject) => {
    const options = { method: 'POST', headers: { 'Content-Type': 'audio/wav' } };
    const sent = request(`${service.url}/v1/files`, options, (response) => {
      response.setEncoding('utf8').once('data', (text: string) => {
        if (response.statusCode === 201) resolve(JSON.parse(text) as FileRecord);
        else reject(new Error(text));
      });
    });
    createReadStream(path, { highWaterMark: 1024 ** 2 })
      .pipe(sent)
      .once('error', reject);
  });
}

async function download({ urls, bytes }: FileRecord): Promise<void> {
  const sent = request(urls.content).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const count = await drain(response);
  if (count !== bytes) throw new Error(`${count} bytes of ${bytes}`);
}

async function drain(body: Readable): Promise<number> {
  let count = 0;
  for await (const chunk of body) count += (chunk as Buffer).length;
  return count;
}

/** A prediction reads it. */
async function listen(service: Service, { id }: FileRecord): Promise<void> {
  const submitted = await service.submit('voice-activity', { audio: id });
  const { status, error } = await service.ended(submitted.id, 300_000);
  if (status !== 'succeeded') throw new Error(`${status}: ${JSON.stringify(error)}`);
}

async function shell(command: string): Promise<void> {
  const child = spawn('sh', ['-c', command], { stdio: 'inherit' });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  if (code !== 0) throw new Error(`${command}: ${String(code)}`);
}
