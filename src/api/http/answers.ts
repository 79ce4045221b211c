/*
 * Answers lie in memory until their clients have read them, which may be never. Together they may take
 * only so much of it, and one tenant's only a share.
 */
import type { RequestHandler, Response } from 'express';
import type { OutputRoom } from '../../records/prediction-reader.ts';
import { tenantOf } from './access.ts';
import { contextOf } from './context.ts';
import { Problem } from './problems.ts';
import type { HeavyWork } from '../../records/heavy-work.ts';
import type { Shares } from './shares.ts';

/** The operating system takes so much of an answer at once. */
const UNCOUNTED_BYTES = 16 * 1024;

/** Lets what answers a request make room for large parts of its answer. */
export const countAnswers =
  (shares: Shares, heavyWork: HeavyWork): RequestHandler =>
  (_request, response, next) => {
    contextOf(response).room = {
      take: (bytes) => hold(response, bytes, shares),
      turn: async (bytes) => await heavyWork.turn(bytes),
    };
    next();
  };

/** For the bytes of an answer, before they are read; refuses as `overloaded` when there is none. */
export function roomFor(response: Response): OutputRoom {
  const { room } = contextOf(response);
  if (room === undefined) throw new TypeError('countAnswers comes before what answers');
  return room;
}

function hold(response: Response, bytes: number, shares: Shares): void {
  if (bytes <= UNCOUNTED_BYTES || response.destroyed) return;
  const tenant = tenantOf(response);
  // An answer that is alone may be larger than a share: it could never be given otherwise.
  if (shares.taken > 0 && !shares.hasRoom(tenant, bytes)) {
    const detail = `answers that nobody has read yet take ${shares.taken} bytes (BUZZER_MAX_BUFFERED): read them, and ask again`;
    throw new Problem('overloaded', detail);
  }
  shares.take(tenant, bytes);
  response.once('close', () => shares.giveBack(tenant, bytes));
}
