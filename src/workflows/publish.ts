/* The end of a prediction or a batch, for whoever reads its record, and for Temporal. */
import {
  ApplicationFailure,
  CancelledFailure,
  upsertMemo,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import type { EndedBatch } from '../contract/batch.ts';
import { MEMO_ENDED } from '../contract/messages.ts';
import type { Ended } from '../contract/prediction.ts';
import { SEARCH_ATTRIBUTES } from '../contract/search-attributes.ts';

/** Makes the record final; from then on it can be read with every worker down. */
export function publish(ended: Ended | EndedBatch): void {
  upsertMemo({ [MEMO_ENDED]: ended });
  if (ended.status === 'aborted') {
    upsertSearchAttributes({ [SEARCH_ATTRIBUTES.outcome.name]: ['aborted'] });
  }
}

/** The result of the workflow: what failed is a Failed workflow, what was canceled a Canceled one. */
export function outcomeOf<T extends Ended | EndedBatch>(ended: T): T {
  switch (ended.status) {
    case 'succeeded':
      return ended;
    case 'canceled':
      throw new CancelledFailure('canceled');
    case 'failed':
    case 'aborted':
      throw ApplicationFailure.create({
        type: ended.error.code,
        message: ended.error.message,
        nonRetryable: true,
        details: [ended],
      });
  }
}
