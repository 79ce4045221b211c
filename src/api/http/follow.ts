import type { Response } from 'express';
import type { AcceptedRequest } from '../../contract/accepted-request.ts';
import type { Follower } from '../../records/follower.ts';
import { onRevoked } from './access.ts';
import type { EventStream } from './event-stream.ts';

export interface Following<Seen> {
  readonly of: Pick<AcceptedRequest, 'id' | 'tenant'>;
  readonly follower: Follower<Seen>;
  readonly stream: EventStream;
  /** Sends what is new in what was seen; resolves to whether that was the last. */
  readonly send: (seen: Seen) => Promise<boolean>;
  /** Aborted when the process is to end: then the stream is ended, for its client to reconnect. */
  readonly stop: AbortSignal;
}

/** Sends what happens to a record, until its end, or until its client hangs up or may no longer read. */
export function follow<Seen>(
  response: Response,
  { of, follower, stream, send, stop }: Following<Seen>,
): void {
  let stopListening = () => {};
  let stopWatching = () => {};
  let sending = Promise.resolve(); // one event after the other
  const close = () => {
    stop.removeEventListener('abort', close);
    response.off('close', close);
    stopListening();
    stopWatching();
    stream.end();
  };
  stop.addEventListener('abort', close, { once: true });
  response.once('close', close);
  stopWatching = onRevoked(response, close);
  if (response.destroyed) close(); // it hung up before we listened
  if (response.writableEnded) return;
  stopListening = follower.listen(of, {
    onRecord(seen) {
      const sendNext = async () => {
        if (await send(seen)) close();
      };
      sending = sending.then(sendNext);
    },
    onError: close,
  });
}
