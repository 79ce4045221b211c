/* Follows a prediction by its server-sent events and puts its text together, as a client would. */
import type { PartialText, Prediction } from '../../src/contract/prediction.ts';

/** What a record shows of the text so far; null: none. */
export function textSoFar({ partial_output: partial }: Prediction): PartialText | null {
  return partial !== null && 'text' in partial ? partial : null;
}

interface OutputEvent {
  readonly id: string;
  readonly attempt: number;
  readonly offset: number;
  readonly text: string;
  readonly reset: boolean;
}

export interface FollowedText {
  /** The text so far, from the offset where it was begun to be followed. */
  text: string;
  readonly events: OutputEvent[];
  readonly records: Prediction[];
  lastEventId: string | undefined;
  /** How many bytes the events had. */
  bytes: number;
}

/**
 * Reads the events of a prediction until the stream ends or `signal` aborts; goes on behind `lastEventId`. `onText`
 * is called with each piece. Throws when a piece does not follow the one before.
 */
export async function followText(
  url: string,
  {
    onText,
    signal,
    lastEventId,
  }: {
    readonly onText?: (followed: FollowedText) => void;
    readonly signal?: AbortSignal;
    readonly lastEventId?: string | undefined;
  } = {},
): Promise<FollowedText> {
  const followed: FollowedText = { text: '', events: [], records: [], lastEventId, bytes: 0 };
  const begun = Number(lastEventId?.split(':')[1] ?? 0);
  const take = (block: string) => {
    const fields = Object.fromEntries(
      block
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
    ) as Record<string, string>;
    if (fields['event'] === 'prediction')
      followed.records.push(JSON.parse(fields['data'] ?? '') as Prediction);
    if (fields['event'] !== 'output') return;
    const event = {
      id: fields['id'] ?? '',
      ...(JSON.parse(fields['data'] ?? '') as Omit<OutputEvent, 'id'>),
    };
    if (event.reset) followed.text = '';
    else if (event.offset !== begun + followed.text.length)
      throw new Error(`a gap: ${JSON.stringify(event)}`);
    followed.text += event.text;
    followed.lastEventId = event.id;
    followed.events.push(event);
    onText?.(followed);
  };
  const headers = lastEventId === undefined ? {} : { 'Last-Event-ID': lastEventId };
  try {
    const response = await fetch(url, { headers, ...(signal === undefined ? {} : { signal }) });
    if (response.status !== 200 || response.body === null) throw new Error(await response.text());
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body) {
      followed.bytes += (chunk as Uint8Array).length;
      const blocks = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) take(block);
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
  return followed;
}
