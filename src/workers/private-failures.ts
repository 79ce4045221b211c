/* Takes everything out of the failures of activities that could repeat what a client wrote. */
import type { ActivityInboundCallsInterceptor } from '@temporalio/worker';
import { ApplicationFailure } from '@temporalio/common';
import { isFailureCode } from '../contract/failure.ts';
import { sentenceOf } from '../contract/private-words.ts';

/** For the option `interceptors` of a Temporal Worker. */
export const PRIVATE_FAILURES = {
  activity: [
    () => ({
      inbound: {
        async execute(input, next) {
          try {
            return await next(input);
          } catch (error) {
            throw error instanceof ApplicationFailure ? withoutWords(error) : error;
          }
        },
      } satisfies ActivityInboundCallsInterceptor,
    }),
  ],
};

/** The cause and the stack repeat the message, so they are left out too. */
function withoutWords(failure: ApplicationFailure): ApplicationFailure {
  const { type, nonRetryable, details, nextRetryDelay, category } = failure;
  const code = isFailureCode(type ?? '') ? type : 'internal';
  return ApplicationFailure.create({
    type: type ?? 'internal',
    message: sentenceOf(code as Parameters<typeof sentenceOf>[0]),
    nonRetryable: nonRetryable ?? false,
    ...(details == null ? {} : { details }),
    ...(nextRetryDelay == null ? {} : { nextRetryDelay }),
    ...(category == null ? {} : { category }),
  });
}
