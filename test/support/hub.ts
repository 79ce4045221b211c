/* A hub of models on loopback, with every fault that a real one may have. */
import { createHash } from 'node:crypto';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HubFault {
  /** The connection breaks after so many bytes of each answer. */
  readonly cutAfter?: number;
  /** Without Content-Length, the body just ends after so many bytes of the file. */
  readonly endsAt?: number;
  /** One byte of the file is another. */
  readonly isCorrupt?: boolean;
  /** More bytes than there should be. */
  readonly isLong?: boolean;
  /** Answers so instead, so many times. */
  readonly status?: { readonly code: number; times: number };
  /** Sends half of the file, and then nothing more. */
  readonly stalls?: { times: number };
  /** Takes no notice of Range. */
  readonly ignoresRange?: boolean;
}

export interface FakeHub {
  readonly url: string;
  /** What was asked for: the path, the range and the token. */
  readonly requests: { path: string; range: string | undefined; token: string | undefined }[];
  fault: HubFault;
  close(): Promise<void>;
}

export const COMMIT = 'c0ffee'.padEnd(40, '0');
const LARGE = 1000; // what is larger is known by its sha256, as with git-lfs

/** `files` of the repository `org/tiny`; `elsewhere`: another origin from which large files come. */
export async function startHub(
  files: Readonly<Record<string, Buffer>>,
  { task = 'text-classification', elsewhere = false } = {},
): Promise<FakeHub> {
  const servers: Server[] = [];
  const hub: FakeHub = {
    url: '',
    requests: [],
    fault: {},
    close: async () => await closeAll(servers),
  };
  const serve = async (handler: (url: URL, response: ServerResponse) => void) => {
    const server = createServer((request, response) => {
      const { range, authorization: token } = request.headers;
      const url = new URL(request.url ?? '', 'http://hub');
      hub.requests.push({ path: url.pathname, range, token });
      handler(url, response);
    });
    servers.push(server);
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const fileAt = (path: string) => files[path.split('/').slice(5).join('/')];
  const send = (url: URL, response: ServerResponse) => {
    const { range } = hub.requests.at(-1) ?? {};
    sendFile(fileAt(url.pathname), range, response, hub.fault);
  };
  const store = elsewhere ? await serve(send) : null;
  const own = await serve((url, response) => {
    const { status } = hub.fault;
    if (url.pathname.startsWith('/api/models/org/tiny/revision/')) {
      response
        .setHeader('Content-Type', 'application/json')
        .end(JSON.stringify(describe(files, task)));
    } else if (
      !url.pathname.startsWith(`/org/tiny/resolve/${COMMIT}/`) ||
      fileAt(url.pathname) === undefined
    ) {
      response.writeHead(404).end();
    } else if (status !== undefined && status.times > 0) {
      status.times -= 1;
      response.writeHead(status.code).end();
    } else if (store === null) send(url, response);
    else response.writeHead(302, { Location: `${store}${url.pathname}` }).end();
  });
  return Object.assign(hub, { url: own });
}

function sendFile(
  file: Buffer | undefined,
  range: string | undefined,
  response: ServerResponse,
  fault: HubFault,
): void {
  let whole = file ?? Buffer.alloc(0);
  if (fault.isCorrupt === true)
    whole = Buffer.from(whole.map((byte, at) => (at === 9 ? byte ^ 1 : byte)));
  if (fault.isLong === true) whole = Buffer.concat([whole, Buffer.from('more')]);
  const from =
    fault.ignoresRange === true ? 0 : Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
  const rest = whole.subarray(from);
  if (from > 0) {
    response.writeHead(206, {
      'Content-Range': `bytes ${from}-${whole.length - 1}/${whole.length}`,
    });
  }
  if (fault.stalls !== undefined && fault.stalls.times > 0) {
    fault.stalls.times -= 1;
    response.write(rest.subarray(0, rest.length / 2));
  } else if (fault.cutAfter !== undefined && rest.length > fault.cutAfter) {
    response.write(rest.subarray(0, fault.cutAfter), () => response.destroy());
  } else if (fault.endsAt !== undefined && whole.length > fault.endsAt) {
    response.shouldKeepAlive = false;
    response.useChunkedEncodingByDefault = false;
    response.end(rest.subarray(0, Math.max(0, fault.endsAt - from)));
  } else response.end(rest);
}

function describe(files: Readonly<Record<string, Buffer>>, task: string) {
  const hash = (name: string, ...parts: readonly (Buffer | string)[]) => {
    const made = createHash(name);
    for (const part of parts) made.update(part);
    return made.digest('hex');
  };
  return {
    id: 'org/tiny',
    sha: COMMIT,
    pipeline_tag: task,
    cardData: { license: 'apache-2.0' },
    siblings: Object.entries(files).map(([rfilename, bytes]) => ({
      rfilename,
      size: bytes.length,
      blobId: hash('sha1', `blob ${bytes.length}\0`, bytes),
      ...(bytes.length > LARGE
        ? { lfs: { sha256: hash('sha256', bytes), size: bytes.length } }
        : {}),
    })),
  };
}

async function closeAll(servers: readonly Server[]): Promise<void> {
  const closing = servers.map(async (server) => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  });
  await Promise.all(closing);
}
