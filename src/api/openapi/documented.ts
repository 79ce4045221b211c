/* What each operation takes and answers. */
import type { Documented, DocumentedId } from './parts.ts';
import { batches } from './batches.ts';
import { files } from './files.ts';
import { openai } from './openai.ts';
import { predictions } from './predictions.ts';
import { protocol } from './protocol.ts';
import { service } from './service.ts';
import { webhooks } from './webhooks.ts';

/** With the tag under which it is shown. */
export const DOCUMENTED: Readonly<Record<DocumentedId, Documented>> = {
  ...tagged(predictions, 'Predictions'),
  ...tagged(batches, 'Batches'),
  ...tagged(files, 'Files'),
  ...tagged(webhooks, 'Webhooks'),
  ...tagged(service, 'Service'),
  ...tagged(openai, 'OpenAI'),
  ...tagged(protocol, 'Open Inference Protocol'),
};

function tagged<Id extends DocumentedId>(
  operations: Record<Id, Documented>,
  tag: string,
): Record<Id, Documented> {
  const entries = Object.entries(operations) as [Id, Documented][];
  return Object.fromEntries(
    entries.map(([id, operation]) => [id, { ...operation, tags: [tag] }]),
  ) as Record<Id, Documented>;
}
