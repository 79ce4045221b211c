/* From an order to a batch's workflow: its items are looked at and indexed while they are stored. */
import { ItemIndexer } from '../batches/item-index.ts';
import { LINES_MEDIA_TYPE } from '../batches/results.ts';
import { unfinishedLines } from '../batches/unfinished-lines.ts';
import type { AcceptedBatch, BatchItems, EndedBatch, OpenAiBatch } from '../contract/batch.ts';
import { JSON_MEDIA_TYPE } from '../contract/payload.ts';
import { acceptedBytes, MAX_ACCEPTED_BYTES } from '../contract/prediction.ts';
import { invalidAt, Refusal, toPointer } from '../contract/refusal.ts';
import type { ModelVersion } from '../models/repository.ts';
import { openClaim } from '../storage/claims.ts';
import { isPayloadLost } from '../storage/payload-store.ts';
import type { BatchEngine } from '../temporal/batch-engine.ts';
import { batchMemoOf } from '../temporal/batch-memo.ts';
import type { Engine } from '../temporal/engine.ts';
import { receiversFor, type RecordDependencies } from './accepted-record.ts';
import { Entry, type EntryKind, type Started } from './entry.ts';
import { fingerprint } from './idempotency.ts';
import { ItemUrls } from './item-urls.ts';
import type { OrderHead } from './order.ts';
import { parseBody } from './parse.ts';
import type { QuotaKeeper } from './quotas.ts';
import type { OrderTerms } from './request-schema.ts';
import type { Staging } from './staging.ts';
import { requirePrivate } from './private.ts';
import { timesOf } from './times.ts';

/** One request for a batch. */
export interface BatchOrder extends Omit<OrderHead, 'bodyBytes'> {
  readonly terms: OrderTerms;
  /** The items as JSON Lines, which can be read once, or the file of the tenant that they lie in. */
  readonly lines: AsyncIterable<Uint8Array> | { readonly fileId: string };
  /** The items came as a list, whose elements are not called lines. */
  readonly areListed?: boolean;
  /** The lines were written here, not by a client; absent: by a client. */
  readonly areOurs?: boolean;
  /** See `AcceptedBatch`. */
  readonly openai?: OpenAiBatch;
  /** The request as it was sent, without items and defaults: a repetition is compared with it. */
  readonly asSent: unknown;
  /** The batch whose items these are. */
  readonly retryOf?: string;
}

export interface BatchAcceptanceDependencies extends RecordDependencies {
  readonly engine: Engine;
  readonly batches: BatchEngine;
  readonly quotas: QuotaKeeper;
  readonly limits: RecordDependencies['limits'] & {
    readonly heartbeatTimeoutMs: number;
    readonly maxJsonBytes: number;
    readonly maxFileBytes: number;
    readonly maxBatchItems: number;
  };
}

export class BatchAcceptance {
  readonly #dependencies: BatchAcceptanceDependencies;
  readonly #kind: EntryKind<AcceptedBatch>;

  constructor(dependencies: BatchAcceptanceDependencies) {
    const { batches, limits } = dependencies;
    const { heartbeatTimeoutMs } = limits;
    this.#dependencies = dependencies;
    this.#kind = {
      kind: 'batch',
      start: async (accepted) =>
        await batches.start({ accepted, heartbeatTimeoutMs, earlier: null }),
      acceptedIn: (description) => batchMemoOf(description)?.accepted ?? null,
    };
  }

  /** Accepts a batch; when this resolves, Temporal has it. */
  async accept(order: BatchOrder): Promise<Started<AcceptedBatch>> {
    const { version, terms } = order;
    const { limits } = this.#dependencies;
    parseBody(version.schema.options, terms.options, ['options']);
    requireNoSecrets(version, terms.options, ['options']);
    if (limits.engineInlineLimit === 0) requirePrivate(order, version);
    // What is wrong here is refused before anything is stored.
    timesOf(terms, version.manifest, limits, Date.now());
    await receiversFor(order.tenant, terms.webhook, this.#dependencies);
    const entry = await Entry.begin(order, this.#kind, this.#dependencies);
    return await entry.start(async () => await this.#record(entry.id, order, entry.staging));
  }

  /** The items that have no output once more, on the same version and with the same terms, as a new batch. */
  async retry(
    { accepted, ended }: { readonly accepted: AcceptedBatch; readonly ended: EndedBatch },
    head: Pick<BatchOrder, 'version' | 'idempotencyKey' | 'traceparent'>,
  ): Promise<Started<AcceptedBatch>> {
    const { id, tenant, items, options, metadata, priority } = accepted;
    if (ended.counts.succeeded === items.total && ended.output !== null) {
      const detail = `${id} has no item that failed: there is nothing to retry`;
      throw new Refusal('invalid_input', detail);
    }
    const { queue_ttl, run_timeout, deadline } = accepted;
    const webhook = accepted.receivers?.webhook ?? null;
    const tags = [...accepted.tags];
    const order = {
      ...head,
      tenant,
      terms: { options, metadata, tags, priority, webhook, queue_ttl, run_timeout, deadline },
      lines: unfinishedLines(this.#dependencies.store, items, ended.output),
      asSent: ['retry', id],
      areOurs: true,
      retryOf: id,
    };
    return await this.accept(order).catch((error: unknown) => {
      if (!isPayloadLost(error)) throw error;
      const detail = `the items of ${id} are no longer what was stored: submit them anew`;
      throw new Refusal('invalid_input', detail, { cause: error });
    });
  }

  async #record(id: string, order: BatchOrder, staging: Staging): Promise<AcceptedBatch> {
    const { tenant, traceparent, version, terms, asSent, idempotencyKey, retryOf } = order;
    const { limits } = this.#dependencies;
    const items = await this.#store(await this.#linesOf(order), staging, order);
    const receivers = await receiversFor(tenant, terms.webhook, this.#dependencies);
    const { name: model, version: number } = version.ref;
    const accepted: AcceptedBatch = {
      id,
      tenant,
      model,
      version: number,
      items,
      options: terms.options as AcceptedBatch['options'], // each item has a seed of its own
      metadata: terms.metadata,
      tags: terms.tags,
      priority: terms.priority,
      ...timesOf(terms, version.manifest, limits, Date.now()),
      ...(receivers === null ? {} : { receivers }),
      ...(retryOf === undefined ? {} : { retry_of: retryOf }),
      ...(order.openai === undefined ? {} : { openai: order.openai }),
      ...(traceparent === null ? {} : { traceparent }),
      ...(idempotencyKey === null
        ? {}
        : { fingerprint: fingerprint(asSent, { items: items.lines.sha256 }) }),
    };
    if (acceptedBytes(accepted) <= MAX_ACCEPTED_BYTES) return accepted;
    const detail = 'options, metadata, tags and webhook are too large together';
    throw new Refusal('invalid_input', detail);
  }

  /** The lines of a file are copied, so that it may be deleted while the batch runs. */
  async #linesOf({ lines, tenant }: BatchOrder): Promise<AsyncIterable<Uint8Array>> {
    if (!('fileId' in lines)) return lines;
    const { files, store } = this.#dependencies;
    const claim = await files.content(lines.fileId, tenant);
    return (await openClaim(store, claim)) as AsyncIterable<Uint8Array>;
  }

  async #store(
    lines: AsyncIterable<Uint8Array>,
    staging: Staging,
    { version, areOurs = false, areListed = false }: BatchOrder,
  ): Promise<BatchItems> {
    const { maxBatchItems: maxItems, maxJsonBytes, maxFileBytes } = this.#dependencies.limits;
    const urls = new ItemUrls(version, this.#dependencies.addressPolicy);
    const indexer = new ItemIndexer({
      maxItems,
      maxLineBytes: maxJsonBytes,
      isOurs: areOurs,
      isList: areListed,
      onItem: (item, index) => {
        requireNoSecrets(version, item.options ?? {}, ['items', String(index), 'options']);
        urls.look(item, index);
      },
    });
    const body = indexer.through(lines);
    const stored = await staging.put('items', body, LINES_MEDIA_TYPE, maxFileBytes);
    const { index } = indexer;
    const bytes = Buffer.from(JSON.stringify(index));
    return {
      lines: stored,
      index: await staging.put('index', bytes, JSON_MEDIA_TYPE),
      total: index.items,
      fetches: urls.fetches,
    };
  }
}

/** The items of a batch lie in the store as they were sent, so nothing that nobody may see can be among them. */
function requireNoSecrets(
  { schema }: ModelVersion,
  options: Readonly<Record<string, unknown>>,
  path: readonly string[],
): void {
  const secret = schema.secretOptions.find((name) => (options[name] ?? null) !== null);
  if (secret === undefined) return;
  throw invalidAt(toPointer([...path, secret]), 'is not taken for a batch: send a prediction');
}
