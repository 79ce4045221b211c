/* The guarded client against real servers; only the answers of DNS are the test's own. */
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from 'node:net';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { AddressPolicy, parseOutboundAllow } from '../../../src/outbound/address-policy.ts';
import {
  createGuardedClient,
  type OutboundAnswer,
  type OutboundErrorCode,
  type OutboundRequest,
} from '../../../src/outbound/guarded-client.ts';
import type { ResolveAddresses } from '../../../src/outbound/resolver.ts';

const servers: Server[] = [];
const sockets = new Set<Socket>();

async function listen(server: Server, host = '127.0.0.1'): Promise<number> {
  servers.push(server);
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})));
  await new Promise<void>((resolve) => {
    server.listen(0, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}
const serve = async (listener: RequestListener, host?: string) =>
  await listen(createServer(listener), host);

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await Promise.all(
    servers.splice(0).map(async (server) => await new Promise((done) => server.close(done))),
  );
});

const policyOf = (allow: string) => new AddressPolicy(parseOutboundAllow(allow));
/** 127.0.0.1 is opened; 127.0.0.2, where the canary lives, is not. */
const policy = policyOf('http://127.0.0.1');
const noDns: ResolveAddresses = async (name) => await Promise.reject(new Error(`no ${name}`));
const dns =
  (...answers: readonly (readonly string[])[]): ResolveAddresses =>
  async () => {
    const [first = []] = answers.length > 1 ? (answers as string[][]).splice(0, 1) : answers;
    return await Promise.resolve(first);
  };

const text = async ({ status, body }: OutboundAnswer) => {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return { status, text: Buffer.concat(chunks).toString('utf8') };
};

const get = async (
  url: string,
  more: Partial<OutboundRequest> = {},
  resolve = noDns,
  allowed = policy,
) =>
  await createGuardedClient(allowed, resolve).send(
    { url, method: 'GET', headers: {}, deadlineMs: 5000, maxRedirects: 0, ...more },
    text,
  );

const fails = async (sending: Promise<unknown>, code: OutboundErrorCode) => {
  await expect(sending).rejects.toMatchObject({ name: 'OutboundError', code });
};

test('a body is sent with its length, and the answer comes back', async () => {
  let seen = '';
  const port = await serve((request, response) => {
    seen = `${request.method} ${request.url} ${request.headers['content-length']} ${request.headers.host} `;
    request.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
    });
    request.on('end', () => response.writeHead(201).end('thanks'));
  });
  const answer = await get(`http://127.0.0.1:${port}/a?b`, {
    method: 'POST',
    body: Buffer.from('grüße'),
  });

  expect(answer).toEqual({ status: 201, text: 'thanks' });
  expect(seen).toBe(`POST /a?b 7 127.0.0.1:${port} grüße`);
});

test('a name that leads to a forbidden address, or to one among others, is not connected to', async () => {
  let hits = 0;
  const canary = await serve((_request, response) => {
    hits += 1;
    response.end();
  }, '127.0.0.2');
  const url = `http://rebind.example:${canary}/`;

  await fails(get(url, {}, dns(['127.0.0.2'])), 'forbidden');
  await fails(get(url, {}, dns(['127.0.0.1', '127.0.0.2'])), 'forbidden');
  await fails(get(url, {}, dns(['::ffff:127.0.0.2'])), 'forbidden');
  await fails(get(url, {}, dns([])), 'forbidden');
  await fails(get(`http://127.0.0.2:${canary}/`), 'forbidden');
  await fails(get(`http://2130706434:${canary}/`), 'forbidden');
  expect(hits).toBe(0);
});

test('a name that changes its answer between check and connect leads to the checked address', async () => {
  let hits = 0;
  const canary = await serve((_request, response) => {
    hits += 1;
    response.end('canary');
  }, '127.0.0.2');
  const server = createServer((_request, response) => response.end('right'));
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(canary, '127.0.0.1', resolve);
  });
  const rebinding = dns(['127.0.0.1'], ['127.0.0.2']);
  const url = `http://rebind.example:${canary}/`;

  expect(await get(url, {}, rebinding)).toEqual({ status: 200, text: 'right' });
  await fails(get(url, {}, rebinding), 'forbidden');
  expect(hits).toBe(0);
});

test('a redirect is an answer, or is followed and checked at every hop', async () => {
  let hits = 0;
  const canary = await serve((_request, response) => {
    hits += 1;
    response.end();
  }, '127.0.0.2');
  const port = await serve((request, response) => {
    const hops = Number(request.url?.slice(1));
    if (hops === 0) response.end('there');
    else if (hops === 9) response.writeHead(302, { Location: `http://127.0.0.2:${canary}/` }).end();
    else if (hops === 8) response.writeHead(302, { Location: 'file:///etc/passwd' }).end();
    else if (hops === 7) response.writeHead(302).end();
    else response.writeHead(302, { Location: `/${hops - 1}` }).end();
  });
  const url = (path: number) => `http://127.0.0.1:${port}/${path}`;

  expect(await get(url(1))).toMatchObject({ status: 302 });
  expect(await get(url(3), { maxRedirects: 3 })).toEqual({ status: 200, text: 'there' });
  await fails(get(url(4), { maxRedirects: 3 }), 'bad_answer');
  await fails(get(url(9), { maxRedirects: 3 }), 'forbidden');
  await fails(get(url(8), { maxRedirects: 3 }), 'forbidden');
  await fails(get(url(7), { maxRedirects: 3 }), 'bad_answer');
  expect(hits).toBe(0);
});

test.each([
  ['says nothing', () => {}],
  ['drips its header', (socket: Socket) => drip(socket, 'HTTP/1.1 200 OK\r\n')],
  ['drips its body', (socket: Socket) => dripBody(socket)],
])('a server that %s is given up at the deadline, and its connection closed', async (_how, act) => {
  const closed: Promise<unknown>[] = [];
  const server = createTcpServer((socket) => {
    closed.push(new Promise((resolve) => socket.once('close', resolve)));
    act(socket.resume());
  });
  const port = await listen(server);
  const startedAt = Date.now();

  await fails(get(`http://127.0.0.1:${port}/`, { deadlineMs: 300 }), 'timeout');
  expect(Date.now() - startedAt).toBeLessThan(4 * 300);
  await Promise.all(closed);
});

const drip = (socket: Socket, line: string) => {
  let at = 0;
  const timer = setInterval(() => socket.write(line[at++ % line.length] ?? ''), 50);
  socket.once('close', () => clearInterval(timer));
};
const dripBody = (socket: Socket) => {
  socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n');
  drip(socket, 'x');
};

test('a name server that never answers does not outlast the deadline', async () => {
  const silent: ResolveAddresses = async () => await new Promise(() => {});
  const startedAt = Date.now();

  await fails(get('http://silent.example/', { deadlineMs: 200 }, silent), 'timeout');
  expect(Date.now() - startedAt).toBeLessThan(4 * 200);
});

test('a server that falls silent is given up before the deadline, when the caller says so', async () => {
  const port = await serve((_request, response) => {
    response.writeHead(200, { 'Content-Length': 10 }).write('half');
  });
  const startedAt = Date.now();

  await fails(get(`http://127.0.0.1:${port}/`, { maxSilenceMs: 200 }), 'timeout');
  expect(Date.now() - startedAt).toBeLessThan(4 * 200);
});

test.each([
  ['101', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'],
  ['102 without an end', 'HTTP/1.1 102 Processing\r\n\r\n'],
])('a server that answers %s, unasked, is an error', async (_what, answer) => {
  const port = await listen(createTcpServer((socket) => socket.resume().end(answer)));
  const startedAt = Date.now();

  await expect(get(`http://127.0.0.1:${port}/`)).rejects.toMatchObject({ name: 'OutboundError' });
  await expect(
    get(`http://127.0.0.1:${port}/`, { method: 'POST', body: Buffer.from('x') }),
  ).rejects.toMatchObject({ name: 'OutboundError' });
  expect(Date.now() - startedAt).toBeLessThan(5000);
});

test('a server that sends interim answers without end is given up at once', async () => {
  const port = await listen(
    createTcpServer((socket) => {
      socket.resume().on('error', () => {});
      const send = () => {
        while (socket.writable && socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'));
      };
      socket.on('drain', send);
      send();
    }),
  );
  await fails(get(`http://127.0.0.1:${port}/`, { deadlineMs: 60_000 }), 'bad_answer');
});

test('an endless answer is read only as far as the caller wants', async () => {
  let sent = 0;
  const port = await serve((_request, response) => {
    const pump = () => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536;
    };
    response.on('drain', pump);
    pump();
  });
  const client = createGuardedClient(policy, noDns);
  const request = { url: `http://127.0.0.1:${port}/`, method: 'GET', headers: {} } as const;
  const bytes = await client.send(
    { ...request, deadlineMs: 5000, maxRedirects: 0 },
    async ({ body }) => {
      for await (const chunk of body) return chunk.length;
      return 0;
    },
  );

  expect(bytes).toBeGreaterThan(0);
  expect(sent).toBeLessThan(64 * 1024 ** 2);
});

test('what is compressed is inflated as it is read, and what cannot be is an error', async () => {
  const zeros = Buffer.alloc(50_000_000);
  const bodies: Record<string, [string, Buffer]> = {
    '/gzip': ['gzip', gzipSync(zeros)],
    '/br': ['br', brotliCompressSync('hello')],
    '/broken': ['gzip', Buffer.from('not gzip at all')],
    '/unknown': ['zstd', Buffer.from('x')],
  };
  const port = await serve((request, response) => {
    const [encoding, body] = bodies[request.url ?? ''] ?? ['', Buffer.alloc(0)];
    response.writeHead(200, { 'Content-Encoding': encoding }).end(body);
  });
  const url = `http://127.0.0.1:${port}`;

  expect(await get(`${url}/br`)).toEqual({ status: 200, text: 'hello' });
  await fails(get(`${url}/broken`), 'bad_answer');
  await fails(get(`${url}/unknown`), 'bad_answer');
  const read = createGuardedClient(policy, noDns).send(
    { url: `${url}/gzip`, method: 'GET', headers: {}, deadlineMs: 5000, maxRedirects: 0 },
    async ({ body }) => {
      let bytes = 0;
      for await (const chunk of body) {
        bytes += chunk.length;
        if (bytes > 1_000_000) throw new Error(`too large at ${bytes}`);
      }
    },
  );
  await expect(read).rejects.toThrow(/^too large at 1[01]\d{5}$/);
});

test('who cannot be reached, breaks off or speaks something else is told apart no further', async () => {
  const reset = await listen(createTcpServer((socket) => socket.resetAndDestroy()));
  const halfway = await listen(
    createTcpServer((socket) => {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort');
    }),
  );
  const gibberish = await listen(createTcpServer((socket) => socket.end('SSH-2.0-OpenSSH\r\n')));
  const headers = await serve((_request, response) => {
    response.writeHead(200, { 'X-Long': 'x'.repeat(20_000) }).end();
  });

  await fails(get(`http://127.0.0.1:${reset}/`), 'unreachable');
  await fails(get(`http://127.0.0.1:${halfway}/`), 'unreachable');
  await fails(get('http://127.0.0.1:1/'), 'unreachable');
  await fails(get('http://nowhere.example/', {}, noDns), 'unreachable');
  await fails(get(`http://127.0.0.1:${gibberish}/`), 'bad_answer');
  await fails(get(`http://127.0.0.1:${headers}/`), 'bad_answer');
});

test('a certificate that nobody vouches for ends it before anything is sent', async () => {
  let hits = 0;
  const key = readFileSync('test/fixtures/tls/untrusted.key.pem');
  const cert = readFileSync('test/fixtures/tls/untrusted.cert.pem');
  const port = await listen(
    createTlsServer({ key, cert }, (_request, response) => {
      hits += 1;
      response.end();
    }),
  );

  await fails(get(`https://127.0.0.1:${port}/`), 'tls_failed');
  await fails(get(`https://127.0.0.1:${await serve(() => {})}/`), 'tls_failed'); // no TLS there
  expect(hits).toBe(0);
});

test('the caller may give up at any moment', async () => {
  const controller = new AbortController();
  const port = await serve(() => controller.abort(new Error('not wanted any more')));
  const { signal } = controller;

  await expect(get(`http://127.0.0.1:${port}/`, { signal })).rejects.toThrow('not wanted any more');
  await expect(get(`http://127.0.0.1:${port}/`, { signal })).rejects.toThrow('not wanted any more');
});
