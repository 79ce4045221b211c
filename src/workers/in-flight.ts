/*
 * The successor reports the dead. While an attempt runs, its task token lies in
 * `<data>/workers/<uuid>/`; as long as its worker lives, it listens on a unix socket `alive` in
 * that folder. Whoever finds a folder whose socket refuses fails its tokens as `worker_lost`, so
 * that the retry starts at once instead of after the heartbeat timeout.
 *
 *  F1  A live worker is never reported: a stopped process still accepts connections, and anything
 *      but a refusal is left to the heartbeat timeout.
 *  F2  The socket listens before the first token is written.
 *  F3  Only folders of this boot are judged: a folder shared between hosts holds sockets that
 *      refuse here although their worker lives there.
 *  F4  A token is deleted only when the server has taken the report or no longer knows it.
 *
 * A socket path longer than 107 bytes is silently cut, so it is bound and reached through
 * /proc/self/fd. Where there is no such thing (not Linux), nothing is recorded at all.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, constants, openSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApplicationFailure, type Client } from '@temporalio/client';
import { z } from 'zod';
import type { InFlightAttempts, OwnFolder } from '../activities/inference.ts';
import { type FailureCode, type FailureDetail, messageOf } from '../contract/failure.ts';
import { withSmallTail } from '../contract/work.ts';
import { makeFolder } from '../disk/make-folder.ts';
import { readSmallFile } from '../disk/small-file.ts';
import { StorageError } from '../storage/payload-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import { INFER_ACTIVITY, pendingIn } from '../temporal/pending-activity.ts';
import { GRPC_INVALID_ARGUMENT, GRPC_NOT_FOUND } from '../temporal/timely-calls.ts';

const OWNER_FILE = 'owner.json';
const SOCKET = 'alive';
const SCAN_INTERVAL_MS = 2000;
const REPORT_DEADLINE_MS = 4000;
/** Larger than any file that we write there. */
const MAX_FILE_BYTES = 64 * 1024;

export interface InFlightOptions {
  /** `<data>/workers`. */
  readonly folder: string;
  readonly client: Client;
  /** The server to which the tokens belong. */
  readonly address: string;
  readonly namespace: string;
  readonly identity: string;
  readonly logger: Logger;
  /** Called with the identity of a dead worker, once its attempts are reported. */
  readonly onDead: (identity: string) => Promise<void>;
}

const ownerSchema = z.object({
  bootId: z.string(),
  address: z.string(),
  namespace: z.string(),
  identity: z.string().regex(/^[\w.@-]{1,300}$/), // it becomes part of a store key
});
type Owner = z.infer<typeof ownerSchema>;

const tokenSchema = z.object({ prediction: z.string(), token: z.base64().min(1) });
type Token = z.infer<typeof tokenSchema>;

/** Starts recording and reporting; `close` it when the last attempt has ended. */
export async function openInFlight(
  options: InFlightOptions,
): Promise<InFlightAttempts & OwnFolder & { close(): Promise<void> }> {
  const bootId = await readBootId();
  if (bootId === null) return await unrecorded();
  const own = join(options.folder, randomUUID());
  await makeFolder(own).catch((error: unknown) => {
    throw new StorageError(`${options.folder} cannot be used: ${messageOf(error)}`, {
      cause: error,
      needsPerson: (error as NodeJS.ErrnoException).code !== 'ENOSPC',
    });
  });
  const socket = await listen(own); // F2
  const { address, namespace, identity } = options;
  const owner: Owner = { bootId, address, namespace, identity };
  await writeFile(join(own, OWNER_FILE), JSON.stringify(owner), { mode: 0o600 });
  let isOpen = true;
  let timer: NodeJS.Timeout | undefined;
  const said = new Set<string>();
  const scan = async () => {
    await reportTheDead(options, owner, own, said);
    if (isOpen) timer = setTimeout(() => (scanning = scan()), SCAN_INTERVAL_MS);
  };
  let scanning = scan();
  await scanning;
  let count = 0;
  const cannotRecord = (error: unknown) => {
    // Without a token, the heartbeat timeout notices a crash. That is no reason to fail the attempt.
    options.logger.warn({ err: error }, 'cannot record an attempt in flight');
  };
  return {
    folder: own,
    async enter(taskToken, prediction) {
      const path = join(own, `${(count += 1)}.json`);
      const token: Token = { prediction, token: Buffer.from(taskToken).toString('base64') };
      await writeFile(path, JSON.stringify(token), { mode: 0o600 }).catch(cannotRecord);
      return async () => await rm(path, { force: true }).catch(cannotRecord);
    },
    async close() {
      isOpen = false;
      clearTimeout(timer);
      await scanning;
      await rm(own, { recursive: true, force: true });
      socket.close();
    },
  };
}

/** Where nothing is recorded, the heartbeat timeout notices a crash. */
async function unrecorded() {
  const folder = await mkdtemp(join(tmpdir(), 'buzzer-worker-'));
  return {
    folder,
    enter: async () => async () => {},
    close: async () => await rm(folder, { recursive: true, force: true }),
  };
}

/** `said`: the folders whose problem was logged already. */
async function reportTheDead(
  options: InFlightOptions,
  owner: Owner,
  own: string,
  said: Set<string>,
): Promise<void> {
  const names: string[] = await readdir(options.folder).catch(() => []);
  for (const name of said) if (!names.includes(name)) said.delete(name);
  for (const name of names) {
    const folder = join(options.folder, name);
    if (folder === own) continue;
    try {
      const other = await readOwner(folder);
      if (other === null || !isSameEngine(other, owner)) continue;
      if ((await probe(folder)) !== 'refused') continue;
      await reportAll(folder, options);
      await options.onDead(other.identity);
    } catch (error) {
      // A sibling may be reporting them, or the server may be away. The next look tries again.
      if (said.has(name)) continue;
      said.add(name);
      options.logger.warn({ err: error, folder }, 'cannot report the attempts of a dead worker');
    }
  }
}

async function reportAll(folder: string, options: InFlightOptions): Promise<void> {
  const { client, logger } = options;
  const names = (await readdir(folder)).filter((name) => /^\d+\.json$/.test(name));
  for (const name of names) {
    const path = join(folder, name);
    const found = await readJson(path, tokenSchema);
    // The worker died while writing, or somebody else wrote the file. The heartbeat timeout does the rest.
    if (found === null) {
      logger.warn({ path }, 'removing what is no token of an attempt');
      await rm(path, { recursive: true, force: true });
      continue;
    }
    const { prediction, token } = found;
    const outcome = await reportLost(Buffer.from(token, 'base64'), prediction, client);
    if (outcome === 'taken')
      logger.warn({ prediction }, 'reported an attempt of a worker that died');
    if (outcome === 'no token') logger.warn({ path }, 'removing what is no token of an attempt');
    await rm(path, { force: true });
  }
  await rm(folder, { recursive: true, force: true });
}

const readOwner = async (folder: string): Promise<Owner | null> =>
  await readJson(join(folder, OWNER_FILE), ownerSchema);

/** Null when the file is missing, incomplete, or something else. */
async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  try {
    return schema.parse(JSON.parse((await readSmallFile(path, MAX_FILE_BYTES)) ?? ''));
  } catch {
    return null;
  }
}

/**
 * Fails an attempt, so that the next one starts. Throws when the server does not answer. (The SDK's own
 * call does not tell a server that is away from a token that is none.)
 */
async function reportLost(
  taskToken: Uint8Array,
  prediction: string,
  client: Client,
): Promise<'taken' | 'not known any more' | 'no token'> {
  const { namespace, identity, loadedDataConverter } = client.options;
  const { failureConverter, payloadConverter } = loadedDataConverter;
  const lost = ApplicationFailure.create({
    type: 'worker_lost' satisfies FailureCode,
    message: 'its worker died',
    details: await lastTold(prediction, client).catch(() => []),
    category: 'BENIGN',
  });
  const failure = failureConverter.errorToFailure(lost, payloadConverter);
  const report = async () =>
    await client.workflowService.respondActivityTaskFailed({
      namespace,
      identity,
      taskToken,
      failure,
    });
  try {
    await client.withDeadline(Date.now() + REPORT_DEADLINE_MS, report);
    return 'taken';
  } catch (error) {
    const { code } = error as { code?: number };
    if (code === GRPC_NOT_FOUND) return 'not known any more'; // F4
    if (code === GRPC_INVALID_ARGUMENT) return 'no token';
    throw error;
  }
}

/** What the attempt has told of itself and its work: as details of a failure, as it would have failed with. */
async function lastTold(prediction: string, client: Client): Promise<unknown[]> {
  const describe = async () => await client.workflow.getHandle(prediction).describe();
  const { raw } = await client.withDeadline(Date.now() + REPORT_DEADLINE_MS, describe);
  const { payloadConverter } = client.options.loadedDataConverter;
  const pending = pendingIn(raw, (payload) => payload && payloadConverter.fromPayload(payload));
  const { type, attempt, report = null, partial = null } = pending ?? {};
  // Those of the attempt before it stay until the first heartbeat.
  if (type !== INFER_ACTIVITY || report?.activity_attempt !== attempt) return [];
  return [report, { partial: withSmallTail(partial), reason: null } satisfies FailureDetail];
}

const isSameEngine = (a: Owner, b: Owner): boolean =>
  a.bootId === b.bootId && a.address === b.address && a.namespace === b.namespace; // F3

/** `refused`: the socket is there and nobody listens on it any more. */
async function probe(folder: string): Promise<'alive' | 'refused' | 'unknown'> {
  const descriptor = openFolder(folder);
  try {
    return await new Promise((resolve) => {
      const socket = connect({ path: `/proc/self/fd/${descriptor}/${SOCKET}` });
      socket.once('connect', () => {
        socket.destroy();
        resolve('alive');
      });
      socket.once('error', (error: NodeJS.ErrnoException) => {
        resolve(error.code === 'ECONNREFUSED' ? 'refused' : 'unknown'); // F1
      });
    });
  } finally {
    closeSync(descriptor);
  }
}

async function listen(folder: string): Promise<Server> {
  const descriptor = openFolder(folder);
  const server = createServer((socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(`/proc/self/fd/${descriptor}/${SOCKET}`, resolve);
    });
    return server;
  } finally {
    closeSync(descriptor);
  }
}

const openFolder = (folder: string): number =>
  openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);

async function readBootId(): Promise<string | null> {
  if (process.platform !== 'linux') return null;
  return await readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
    (text) => text.trim(),
    () => null,
  );
}
