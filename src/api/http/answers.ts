/*
 * An answer stays in memory until its client has read it, and a client may never read. So all answers
 * together have a limit, and the answers of one tenant have a share of it.
 */
import type { RequestHandler, Response } from 'express';
import type { OutputRoom } from '../../records/prediction-reader.ts';
import { tenantOf } from './access.ts';
import { contextOf } from './context.ts';
import { Problem } from './problems.ts';
import type { HeavyWork } from '../../records/heavy-work.ts';
import type { Shares } from './shares.ts';

/** The operating system takes this much of an answer at once, so smaller ones are not counted. */
const UNCOUNTED_BYTES = 16 * 1024;

/** Gives each request a room in which the large parts of its answer are counted. */
export const countAnswers =
  (shares: Shares, heavyWork: HeavyWork): RequestHandler =>
  (_request, response, next) => {
    contextOf(response).room = {
      take: (bytes) => hold(response, bytes, shares),
      turn: async (bytes) => await heavyWork.turn(bytes),
    };
    next();
  };

/** The room for the answer of this request; its `take` refuses as `overloaded` when the limit is reached. */
export function roomFor(response: Response): OutputRoom {
  const { room } = contextOf(response);
  if (room === undefined) throw new TypeError('countAnswers comes before what answers');
  return room;
}

function hold(response: Response, bytes: number, shares: Shares): () => void {
  if (bytes <= UNCOUNTED_BYTES || response.destroyed) return () => {};
  const tenant = tenantOf(response);
  if (!shares.admits(tenant, bytes, 0)) {
    const held = `answers that nobody has read yet take ${shares.taken} bytes (BUZZER_MAX_BUFFERED)`;
    const detail = `${held}: read them, and ask again`;
    throw new Problem('overloaded', detail);
  }
  shares.take(tenant, bytes);
  let isHeld = true;
  const giveBack = () => {
    if (isHeld) shares.giveBack(tenant, bytes);
    isHeld = false;
    response.off('close', giveBack);
  };
  response.once('close', giveBack);
  return giveBack;
}
