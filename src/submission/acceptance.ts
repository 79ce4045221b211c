/* From an order to a prediction's workflow: validate, store the inputs, start. */
import type { Readable } from 'node:stream';
import { formatModelRef, parseModelRef } from '../contract/model.ts';
import type { Claim } from '../contract/payload.ts';
import type { Accepted } from '../contract/prediction.ts';
import { Refusal } from '../contract/refusal.ts';
import type { BrokenVersion, ModelRepository, ModelVersion } from '../models/repository.ts';
import type { Engine } from '../temporal/engine.ts';
import { type PredictionMemo, memoOf } from '../temporal/prediction-memo.ts';
import type { PredictionEngine } from '../temporal/prediction-engine.ts';
import { acceptedRecord, type RecordDependencies, repeatedRecord } from './accepted-record.ts';
import { Entry, type EntryHead, type EntryKind, type Started } from './entry.ts';
import { fingerprint } from './idempotency.ts';
import { storeFile } from './inputs.ts';
import { type Order, type OrderHead, type ValidOrder, validated } from './order.ts';
import type { QuotaKeeper } from './quotas.ts';

export interface AcceptanceDependencies extends RecordDependencies {
  readonly repository: ModelRepository;
  readonly engine: Engine;
  readonly predictions: PredictionEngine;
  readonly quotas: QuotaKeeper;
  readonly limits: RecordDependencies['limits'] & { readonly heartbeatTimeoutMs: number };
}

export type AcceptedOrder = Started<Accepted>;

export class Acceptance {
  readonly #dependencies: AcceptanceDependencies;
  readonly #kind: EntryKind<Accepted>;

  constructor(dependencies: AcceptanceDependencies) {
    const { predictions, limits } = dependencies;
    const { heartbeatTimeoutMs } = limits;
    this.#dependencies = dependencies;
    this.#kind = {
      kind: 'prediction',
      start: async (accepted) => await predictions.start({ accepted, heartbeatTimeoutMs }),
      acceptedIn: (description) => memoOf(description)?.accepted ?? null,
    };
  }

  /** The version that an order means: `ocr` or `ocr@1`. Refuses what there is not. */
  resolve(text: string): ModelVersion {
    const { repository } = this.#dependencies;
    const ref = parseModelRef(text);
    const version = ref === null ? undefined : repository.find(ref.name, ref.version);
    if (version !== undefined) return version;
    const broken = ref === null ? undefined : repository.findBroken(ref.name, ref.version);
    if (broken !== undefined) throw brokenRefusal(broken, repository);
    const known = repository.all().map((each) => formatModelRef(each.ref));
    throw new Refusal(
      'model_not_found',
      `there is no model ${text.slice(0, 100)}; served: ${known.join(', ')}`,
    );
  }

  /** Accepts an order; when this resolves, Temporal has it. */
  async accept(order: Order): Promise<AcceptedOrder> {
    const valid = validated(order);
    return await (await this.begin(order)).accept(valid);
  }

  /**
   * Begins with what is known before a body has been read, for files that are stored while they come.
   * It is ended by `accept` or `discard`.
   */
  async begin(head: EntryHead): Promise<Submission> {
    const entry = await Entry.begin(head, this.#kind, this.#dependencies);
    return new Submission(head, entry, this.#dependencies);
  }

  /** The same input, options and terms once more, on the same version, as a new prediction. */
  async retry(
    before: PredictionMemo,
    head: Pick<OrderHead, 'idempotencyKey' | 'traceparent'>,
  ): Promise<AcceptedOrder> {
    const { tenant, model, version: number } = before.accepted;
    // The version must still be served.
    const version = this.resolve(formatModelRef({ name: model, version: number }));
    const { idempotencyKey, traceparent } = head;
    return await (
      await this.begin({ tenant, version, idempotencyKey })
    ).repeat(before, traceparent);
  }
}

/** An order for a prediction that has an id and a place in the quotas, and may store its inputs. */
export class Submission {
  readonly #head: EntryHead;
  readonly #entry: Entry<Accepted>;
  readonly #dependencies: AcceptanceDependencies;

  constructor(head: EntryHead, entry: Entry<Accepted>, dependencies: AcceptanceDependencies) {
    this.#head = head;
    this.#entry = entry;
    this.#dependencies = dependencies;
  }

  /** Stores a file for one of the inputs. */
  async upload(field: string, body: Readable): Promise<Claim> {
    const { limits } = this.#dependencies;
    return await storeFile(field, body, this.#head.version, this.#entry.staging, limits);
  }

  /** Starts the prediction; whatever fails, nothing of it is left that was not accepted. */
  async accept(order: ValidOrder): Promise<AcceptedOrder> {
    const { id, staging } = this.#entry;
    return await this.#entry.start(async () => {
      return await acceptedRecord(id, order, staging, this.#dependencies);
    });
  }

  /** Starts the same as another prediction. */
  async repeat(before: PredictionMemo, traceparent: string | null): Promise<AcceptedOrder> {
    const { id, staging } = this.#entry;
    return await this.#entry.start(async () => {
      const record = await repeatedRecord(id, before, staging, this.#dependencies);
      const accepted = { ...record, ...(traceparent === null ? {} : { traceparent }) };
      if (this.#head.idempotencyKey === null) return accepted;
      return { ...accepted, fingerprint: fingerprint(['retry', before.accepted.id], {}) };
    });
  }

  /** Gives up: nothing is left of it. */
  async discard(): Promise<void> {
    await this.#entry.discard();
  }
}

function brokenRefusal({ ref, problems }: BrokenVersion, repository: ModelRepository): Refusal {
  const why = repository.withoutFolders(problems.join('; '));
  const label = formatModelRef(ref);
  const detail = `${label} cannot be served until its folder is repaired (${why})`;
  return new Refusal('model_unavailable', detail);
}
