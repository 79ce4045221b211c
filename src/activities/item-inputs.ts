/* The fetchItems activity: brings the media that items of a batch give by URL into the store. */
import { setTimeout } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { parseItem } from '../batches/item-index.ts';
import { readItems } from '../batches/read-items.ts';
import { type ItemError, itemError } from '../contract/batch.ts';
import type { FetchedItems, FetchItemsRequest } from '../contract/batch-messages.ts';
import { type FailureCode, isFailureCode } from '../contract/failure.ts';
import { isFileId } from '../contract/ids.ts';
import { type Claim, JSON_MEDIA_TYPE, payloadKeys } from '../contract/payload.ts';
import { originOf } from '../outbound/address-policy.ts';
import { readClaim } from '../storage/claims.ts';
import { heartbeating } from './heartbeating.ts';
import { fetchFailure, fetchMedia, type InputDependencies } from './inputs.ts';

/** So many items are fetched for at once. */
const AT_ONCE = 16;
/** What was fetched is noted in the store after so many, for the next attempt. */
const NOTE_EVERY = 50;
/** How often a server is asked that does not answer. */
const MAX_ASKED = 3;
const PAUSE_MS = 1000;

export type ItemInputActivities = ReturnType<typeof createItemInputActivities>;

export const createItemInputActivities = (dependencies: InputDependencies) => ({
  async fetchItems(request: FetchItemsRequest): Promise<Claim> {
    const context = Context.current();
    let noted = (context.info.heartbeatDetails as Claim | undefined) ?? null;
    return await heartbeating(
      () => noted,
      async () => {
        const fetching = await Fetching.open(request, noted, dependencies);
        for await (noted of fetching.run()) context.heartbeat(noted);
        if (noted === null) throw new Error('nothing was fetched');
        return noted;
      },
    );
  },
});

interface Wanted {
  readonly index: number;
  readonly field: string;
  readonly url: string;
  readonly media: string;
}

class Fetching {
  readonly #request: FetchItemsRequest;
  readonly #dependencies: InputDependencies;
  readonly #found: Record<number, Record<string, Claim | ItemError>>;

  private constructor(
    request: FetchItemsRequest,
    found: FetchedItems,
    dependencies: InputDependencies,
  ) {
    this.#request = request;
    this.#found = { ...found };
    this.#dependencies = dependencies;
  }

  /** Goes on with what an earlier attempt has noted. */
  static async open(
    request: FetchItemsRequest,
    noted: Claim | null,
    dependencies: InputDependencies,
  ): Promise<Fetching> {
    const read = async (claim: Claim) => (await readClaim(dependencies.store, claim)).toString();
    const found = noted === null ? {} : (JSON.parse(await read(noted)) as FetchedItems);
    return new Fetching(request, found, dependencies);
  }

  /** Yields the claim on what was fetched so far; the last one is on all of it. */
  async *run(): AsyncGenerator<Claim> {
    const wanted = await this.#wanted();
    for (let from = 0; from < wanted.length; from += NOTE_EVERY) {
      const left = wanted.slice(from, from + NOTE_EVERY);
      const workers = Array.from({ length: AT_ONCE }, async () => {
        try {
          for (let next = left.shift(); next !== undefined; next = left.shift())
            await this.#fetch(next);
        } catch (error) {
          left.length = 0; // nothing more is begun
          throw error;
        }
      });
      const settled = await Promise.allSettled(workers); // nothing is written after it has ended
      for (const result of settled) if (result.status === 'rejected') throw result.reason;
      yield await this.#note(from);
    }
    if (wanted.length === 0) yield await this.#note(0);
  }

  /** What is yet to be fetched. */
  async #wanted(): Promise<Wanted[]> {
    const { items } = this.#request;
    const media = Object.entries(items.fetches ?? {});
    const wanted: Wanted[] = [];
    const all = { from: 0, to: items.total };
    for await (const { index, line } of readItems(this.#dependencies.store, items, all)) {
      const { input } = parseItem(line);
      for (const [field, kind] of media) {
        const url = (input as Record<string, unknown> | null)?.[field];
        const isWanted =
          typeof url === 'string' && isUrl(url) && this.#found[index]?.[field] === undefined;
        if (isWanted) wanted.push({ index, field, url, media: kind });
      }
    }
    return wanted;
  }

  async #fetch({ index, field, url, media }: Wanted): Promise<void> {
    const { cancellationSignal: signal, info } = Context.current();
    const runId = info.workflowExecution?.runId ?? 'none';
    const key = payloadKeys.fetchedInput(this.#request, `${index}.${field}`, runId, info.attempt);
    let result: Claim | ItemError | null = null;
    for (let asked = 1; result === null; asked += 1) {
      signal.throwIfAborted();
      const end = await this.#turn(url, signal);
      try {
        result = await fetchMedia({ source: { url, media }, key, signal }, this.#dependencies);
      } catch (error) {
        signal.throwIfAborted();
        const failure = fetchFailure(error, field, asked < MAX_ASKED);
        const code = failure.type ?? '';
        if (code === 'storage_unavailable') throw error; // the store's fault, and not the item's
        const isFinal = failure.nonRetryable === true || asked >= MAX_ASKED;
        if (isFinal) result = itemError(codeOf(code), failure.message);
      } finally {
        end();
      }
      if (result === null) await setTimeout(PAUSE_MS, undefined, { signal });
    }
    this.#found[index] = { ...this.#found[index], [field]: result };
  }

  /** Waits for a turn at the server; what it returns ends that. */
  async #turn(url: string, signal: AbortSignal): Promise<() => void> {
    const { turns } = this.#dependencies;
    const { tenant } = this.#request;
    for (;;) {
      const turn = await turns.take({ tenant, origin: originOf(url) }, signal);
      if (turn.kind !== 'busy') return turn.end;
      await setTimeout(turn.retryInMs, undefined, { signal });
    }
  }

  async #note(count: number): Promise<Claim> {
    const { info } = Context.current();
    const runId = info.workflowExecution?.runId ?? 'none';
    const key = payloadKeys.fetchedInput(this.#request, `all.${count}`, runId, info.attempt);
    const body = Buffer.from(JSON.stringify(this.#found));
    return await this.#dependencies.store.put(key, body, { mediaType: JSON_MEDIA_TYPE });
  }
}

const isUrl = (text: string): boolean => !isFileId(text) && /^https?:/i.test(text);

const codeOf = (code: string): FailureCode => (isFailureCode(code) ? code : 'internal');
