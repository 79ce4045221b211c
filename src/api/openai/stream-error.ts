import type { Logger } from '../../telemetry/logger.ts';
import type { EventStream } from '../http/event-stream.ts';
import { problemOf } from '../http/problems.ts';
import { OPENAI } from './dialect.ts';

/** Tells of an error that came when the status was sent already; throws it when it can be answered with a status. */
export function failStream(stream: EventStream, error: unknown, logger: Logger): void {
  if (!stream.isBegun) {
    stream.release();
    throw error;
  }
  const problem = problemOf(error);
  if (problem.code === 'internal') logger.error({ err: error }, 'a stream failed');
  stream.send(OPENAI.errorBody(problem), { event: 'error' });
  stream.end();
}
