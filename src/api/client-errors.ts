/*
 * What Node refuses before there is a request: headers that are too large, bytes that are no HTTP. Its
 * own answer closes the connection at once; a client that is still sending then loses the answer, for
 * its kernel throws away what it has not read when bytes of its own are refused.
 */
import type { Socket } from 'node:net';
import { LINGER_MS } from './problems.ts';

/** By the code of Node's error. */
const ANSWERS: Readonly<Record<string, readonly [status: number, title: string, detail: string]>> =
  {
    HPE_HEADER_OVERFLOW: [431, 'The headers are too large', 'the headers may have 16 KiB together'],
    HPE_CHUNK_EXTENSIONS_OVERFLOW: [
      413,
      'The body is too large',
      'its chunk extensions are too long',
    ],
    ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request came too slowly', 'send it again, faster'],
  };
const MALFORMED = [400, 'The request cannot be understood', 'it is not HTTP/1.1'] as const;

/** The listener of a server's `clientError`. */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const [status, title, detail] = ANSWERS[error.code ?? ''] ?? MALFORMED;
  const code = status === 413 ? 'payload_too_large' : 'malformed_request';
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
  // Read on for a while, and only then close: the parser has let go of the socket.
  socket
    .removeAllListeners('data')
    .on('data', () => {})
    .resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('end', () => socket.destroy()).once('close', () => clearTimeout(timer));
}
