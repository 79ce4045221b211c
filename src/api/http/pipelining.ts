import type { Socket } from 'node:net';
import type { RequestHandler } from 'express';

/** No usual client sends more requests than this before it has read an answer. */
const MAX_WAITING = 16;

/**
 * Requests of one connection are worked on one after the other. A client may send many before it reads
 * the first answer, and all their answers would lie in memory; one that sends too many is cut off.
 */
export function oneAtATime(): RequestHandler {
  /** What waits behind the request that is being answered, for each connection that has one. */
  const lines = new WeakMap<Socket, (() => void)[]>();
  return ({ socket }, response, next) => {
    const begin = () => {
      response.once('close', () => {
        const following = lines.get(socket)?.shift();
        if (following === undefined || socket.destroyed) lines.delete(socket);
        else following();
      });
      next();
    };
    const line = lines.get(socket);
    if (line === undefined) {
      lines.set(socket, []);
      begin();
    } else if (line.length < MAX_WAITING) line.push(begin);
    else socket.destroy();
  };
}
