/* Inputs that are given by URL, brought into the store before the inference. */
import type { PredictionRequest } from '../contract/messages.ts';
import type { Claim } from '../contract/payload.ts';
import { fetchWithin } from './activities.ts';

/** By field. */
export type FetchedInputs = Readonly<Record<string, Claim>>;

/** The claims on what was fetched, by field; none when every input came with the request. */
export async function fetchInputs({
  accepted,
  heartbeatTimeoutMs,
}: PredictionRequest): Promise<FetchedInputs> {
  const sources = Object.entries(accepted.input).flatMap(([field, input]) =>
    input.kind === 'url' ? [{ field, source: input.source }] : [],
  );
  if (sources.length === 0) return {};
  const remainingMs = Math.max(1, Date.parse(accepted.deadline_at) - Date.now());
  const fetchInput = fetchWithin(remainingMs, heartbeatTimeoutMs);
  const { id, tenant } = accepted;
  const fetched = sources.map(async ({ field, source }) => {
    return [field, await fetchInput({ id, tenant, field, source })] as const;
  });
  return Object.fromEntries(await Promise.all(fetched));
}
