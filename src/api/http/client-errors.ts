/*
 * What Node refuses before there is a request: headers that are too large, bytes that are no HTTP. Its
 * own answer closes the connection at once; a client that is still sending would lose it.
 */
import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { linger } from './linger.ts';
import type { ProblemCode } from './problems.ts';

type Answer = readonly [status: number, code: ProblemCode, title: string, detail: string];

/** The answers, by the code of Node's error. */
const ANSWERS: Readonly<Record<string, Answer>> = {
  HPE_HEADER_OVERFLOW: [
    431,
    'malformed_request',
    'The headers are too large',
    'the headers may have 16 KiB together',
  ],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [
    413,
    'payload_too_large',
    'The body is too large',
    'its chunk extensions are too long',
  ],
  ERR_HTTP_REQUEST_TIMEOUT: [
    408,
    'request_timeout',
    'The request came too slowly',
    'send it again, faster',
  ],
};
const MALFORMED: Answer = [
  400,
  'malformed_request',
  'The request cannot be understood',
  'it is not HTTP/1.1',
];

/** Answers what a server's parser refuses, unless an answer to something else is on its way there. */
export function answerClientErrors(server: Server): void {
  const begun = new WeakMap<Socket, Set<ServerResponse>>();
  server.on('request', ({ socket }, response) => {
    const responses = begun.get(socket) ?? new Set();
    begun.set(socket, responses.add(response));
    response.once('close', () => responses.delete(response));
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    const isAnswering = [...(begun.get(socket) ?? [])].some(({ headersSent }) => headersSent);
    if (isAnswering || !socket.writable || error.code === 'ECONNRESET') socket.destroy();
    else answer(socket, ANSWERS[error.code ?? ''] ?? MALFORMED);
  });
}

function answer(socket: Socket, [status, code, title, detail]: Answer): void {
  const body = JSON.stringify({ type: 'about:blank', title, status, detail, code });
  socket.end(
    [
      `HTTP/1.1 ${status} ${title}`,
      'Content-Type: application/problem+json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
      '',
      body,
    ].join('\r\n'),
  );
  socket.removeAllListeners('data'); // the parser has let go of it
  linger(socket, () => socket.destroy());
}
