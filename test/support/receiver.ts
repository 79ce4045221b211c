/* A webhook receiver: keeps what it was sent, and answers as a test wants. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { until } from './conditions.ts';

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly atMs: number;
}

export interface Receiver {
  readonly url: string;
  readonly received: readonly Received[];
  /** What came to a path, once there are so many. */
  at(path: string, count?: number): Promise<readonly Received[]>;
  close(): Promise<void>;
}

/** `answer` gets each request when its body has been read. */
export async function startReceiver(
  answer: (path: string, response: ServerResponse, count: number) => void = (_path, response) => {
    response.end('thanks');
  },
): Promise<Receiver> {
  const received: Received[] = [];
  const to = (path: string) => received.filter((each) => each.path === path);
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    const path = request.url ?? '';
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      received.push({ path, headers: request.headers, body, atMs: Date.now() });
      answer(path, response, to(path).length);
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    received,
    async at(path, count = 1) {
      const enough = () => (to(path).length >= count ? to(path) : undefined);
      return await until(`${count} requests to ${path}`, enough);
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
