/* One durable request, from acceptance to its end. Its record's two halves lie in its memo. */
import { CancellationScope, setHandler, upsertMemo } from '@temporalio/workflow';
import { MEMO_ATTEMPTS, predictionQuery, type PredictionRequest } from '../contract/messages.ts';
import { formatModelRef, modelRefOf } from '../contract/model.ts';
import type { Ended } from '../contract/prediction.ts';
import { canceled, failed } from './endings.ts';
import { type FetchedInputs, fetchInputs } from './fetch-inputs.ts';
import { infer } from './inferring.ts';
import { notify } from './notify.ts';
import { outcomeOf, publish } from './publish.ts';
import { ChangeableTerms } from './changeable-terms.ts';

export async function predictionWorkflow(request: PredictionRequest): Promise<Ended> {
  const terms = new ChangeableTerms(request);
  terms.listen();
  let ended: Ended | null = null;
  setHandler(predictionQuery, () => {
    const { accepted } = terms;
    return {
      id: accepted.id,
      model: formatModelRef(modelRefOf(accepted)),
      status: ended?.status ?? 'queued',
      accepted,
      ended,
    };
  });
  ended = await run(request, terms); // succeeded, failed, canceled or aborted; never throws
  publish(ended); // readable with every worker down
  await terms.end();
  await notify({ type: 'prediction', accepted: terms.accepted, ended });
  return outcomeOf(ended); // a failed prediction is a Failed workflow, a canceled one Canceled
}

/** Fetches what is given by URL, and infers. */
async function run(request: PredictionRequest, terms: ChangeableTerms): Promise<Ended> {
  let fetched: FetchedInputs;
  try {
    fetched = await fetchInputs(request);
  } catch (error) {
    // Nothing has run yet: a deadline that passes here aborts.
    const isCanceled = CancellationScope.current().consideredCancelled;
    return isCanceled ? canceled(null) : failed(error, null);
  }
  const ended = await infer(terms, fetched, (attempts) =>
    upsertMemo({ [MEMO_ATTEMPTS]: attempts }),
  );
  return Object.keys(fetched).length === 0 ? ended : { ...ended, fetched };
}
