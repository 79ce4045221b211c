import { isBatchId } from '../contract/ids.ts';
import type { Finished } from '../contract/webhook.ts';
import type { BatchReader } from './batch-reader.ts';
import type { PredictionReader } from './prediction-reader.ts';

export interface Readers {
  readonly reader: Pick<PredictionReader, 'find'>;
  readonly batchReader: Pick<BatchReader, 'find'>;
}

/** A prediction or a batch of a tenant, by its id, when it has ended; null while it runs. Throws as the readers. */
export async function findFinished(
  id: string,
  tenant: string,
  { reader, batchReader }: Readers,
): Promise<Finished | null> {
  if (isBatchId(id)) {
    const { accepted, ended } = await batchReader.find(id, tenant);
    return ended === null ? null : { type: 'batch', accepted, ended };
  }
  const { accepted, ended } = await reader.find(id, tenant);
  return ended === null ? null : { type: 'prediction', accepted, ended };
}
