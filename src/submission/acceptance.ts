/*
 * From an order to a workflow: validate, store the inputs, start. What is refused leaves nothing behind;
 * what may have been accepted keeps its payloads. The same order with the same Idempotency-Key is the
 * same prediction: its id is made of the key, and Temporal starts an id once.
 */
import type { Readable } from 'node:stream';
import { formatModelRef, parseModelRef } from '../contract/model.ts';
import type { Claim } from '../contract/payload.ts';
import type { Accepted } from '../contract/prediction.ts';
import { Refusal } from '../contract/refusal.ts';
import type { BrokenVersion, ModelRepository, ModelVersion } from '../models/repository.ts';
import { refuseRemovedData } from '../records/removed-data.ts';
import type { Engine } from '../temporal/engine.ts';
import { type PredictionMemo, memoOf } from '../temporal/prediction-memo.ts';
import { AlreadyStartedError, type PredictionEngine } from '../temporal/prediction-engine.ts';
import { EngineUnavailableError } from '../temporal/timely-calls.ts';
import { acceptedRecord, type RecordDependencies, repeatedRecord } from './accepted-record.ts';
import { fingerprint, idempotentId } from './idempotency.ts';
import { storeFile } from './inputs.ts';
import { newId } from './new-id.ts';
import { type Order, type OrderHead, type ValidOrder, validated } from './order.ts';
import { NO_PLACE, type Place, type QuotaKeeper } from './quotas.ts';
import { Staging } from './staging.ts';

export interface AcceptanceDependencies extends RecordDependencies {
  readonly repository: ModelRepository;
  readonly engine: Engine;
  readonly predictions: PredictionEngine;
  readonly quotas: QuotaKeeper;
  readonly limits: RecordDependencies['limits'] & { readonly heartbeatTimeoutMs: number };
}

export interface AcceptedOrder {
  readonly accepted: Accepted;
  /** It was accepted before, with the same key. */
  readonly isReplayed: boolean;
}

type SubmissionHead = Pick<OrderHead, 'tenant' | 'version' | 'idempotencyKey'>;

export class Acceptance {
  readonly #dependencies: AcceptanceDependencies;

  constructor(dependencies: AcceptanceDependencies) {
    this.#dependencies = dependencies;
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
  async begin(head: SubmissionHead): Promise<Submission> {
    return await Submission.begin(head, this.#dependencies);
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

/** An order that has an id and a place in the quotas, and may store its inputs. */
export class Submission {
  readonly #head: SubmissionHead;
  readonly #id: string;
  readonly #staging: Staging;
  readonly #place: Place;
  readonly #dependencies: AcceptanceDependencies;

  private constructor(
    head: SubmissionHead,
    id: string,
    place: Place,
    dependencies: AcceptanceDependencies,
  ) {
    const { tenant, idempotencyKey } = head;
    this.#head = head;
    this.#id = id;
    this.#place = place;
    this.#dependencies = dependencies;
    this.#staging = new Staging(dependencies.store, { tenant, id }, idempotencyKey === null);
  }

  static async begin(
    head: SubmissionHead,
    dependencies: AcceptanceDependencies,
  ): Promise<Submission> {
    const { tenant, version, idempotencyKey } = head;
    const id = idempotencyKey === null ? newId('pred') : idempotentId(tenant, idempotencyKey);
    if (idempotencyKey !== null) await refuseRemovedData(id, tenant, dependencies.store);
    const { name: model, version: number } = version.ref;
    const admission = { id, tenant, model, version: number };
    const place = await admit(admission, idempotencyKey !== null, dependencies);
    return new Submission(head, id, place, dependencies);
  }

  /** Stores a file for one of the inputs. */
  async upload(field: string, body: Readable): Promise<Claim> {
    const { limits } = this.#dependencies;
    return await storeFile(field, body, this.#head.version, this.#staging, limits);
  }

  /** Starts the prediction; whatever fails, nothing of it is left that was not accepted. */
  async accept(order: ValidOrder): Promise<AcceptedOrder> {
    return await this.#start(async () => {
      return await acceptedRecord(this.#id, order, this.#staging, this.#dependencies);
    });
  }

  /** Starts the same as another prediction. */
  async repeat(before: PredictionMemo, traceparent: string | null): Promise<AcceptedOrder> {
    return await this.#start(async () => {
      const record = await repeatedRecord(this.#id, before, this.#staging, this.#dependencies);
      const accepted = { ...record, ...(traceparent === null ? {} : { traceparent }) };
      if (this.#head.idempotencyKey === null) return accepted;
      return { ...accepted, fingerprint: fingerprint(['retry', before.accepted.id], {}) };
    });
  }

  /** Gives up: nothing is left of it. */
  async discard(): Promise<void> {
    this.#place.release();
    await this.#staging.discard();
  }

  async #start(record: () => Promise<Accepted>): Promise<AcceptedOrder> {
    const { tenant, idempotencyKey } = this.#head;
    try {
      const accepted = await record();
      // It may have been deleted while this was uploaded.
      if (idempotencyKey !== null)
        await refuseRemovedData(this.#id, tenant, this.#dependencies.store);
      const started = await start(accepted, this.#dependencies);
      if (started.isReplayed) await this.discard();
      else this.#keep();
      return started;
    } catch (error) {
      // A start that was not acknowledged may have happened all the same.
      if (error instanceof UnacknowledgedStart) {
        this.#keep();
        throw error.refusal;
      }
      await this.discard();
      throw error;
    }
  }

  #keep(): void {
    this.#place.started();
    this.#staging.keep();
  }
}

/** Makes room for an order. A repetition of one that was accepted needs none. */
async function admit(
  admission: Pick<Accepted, 'id' | 'tenant' | 'model' | 'version'>,
  mayBeRepetition: boolean,
  { quotas, engine }: AcceptanceDependencies,
): Promise<Place> {
  try {
    return await quotas.admit(admission);
  } catch (error) {
    const isThere = async () => await engine.describe(admission.id).then(() => true);
    if (!mayBeRepetition || !(await isThere().catch(() => false))) throw error;
    return NO_PLACE;
  }
}

function brokenRefusal({ ref, problems }: BrokenVersion, repository: ModelRepository): Refusal {
  const why = repository.withoutFolders(problems.join('; '));
  const label = formatModelRef(ref);
  const detail = `${label} cannot be served until its folder is repaired (${why})`;
  return new Refusal('model_unavailable', detail);
}

class UnacknowledgedStart extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/** Starts it, or finds that it was started before. */
async function start(
  accepted: Accepted,
  { engine, predictions, store, limits }: AcceptanceDependencies,
): Promise<AcceptedOrder> {
  const { id } = accepted;
  try {
    await predictions.start({ accepted, heartbeatTimeoutMs: limits.heartbeatTimeoutMs });
    return { accepted, isReplayed: false };
  } catch (error) {
    if (error instanceof AlreadyStartedError) return await replayed(accepted, { engine, store });
    if (!(error instanceof EngineUnavailableError)) throw error;
    const doubt = `it is not certain that ${id} was accepted (${error.message})`;
    const detail = `${doubt}: look it up, or send the request again`;
    const members = { prediction_id: id };
    throw new UnacknowledgedStart(
      new Refusal('engine_unavailable', detail, { cause: error, members }),
    );
  }
}

async function replayed(
  accepted: Accepted,
  { engine, store }: Pick<AcceptanceDependencies, 'engine' | 'store'>,
): Promise<AcceptedOrder> {
  const { id } = accepted;
  const description = await engine.describe(id).catch(async (error: unknown) => {
    await refuseRemovedData(id, accepted.tenant, store); // it was there a moment ago
    throw error;
  });
  const before = memoOf(description)?.accepted;
  if (before !== undefined && before.fingerprint === accepted.fingerprint) {
    return { accepted: before, isReplayed: true };
  }
  const detail = `${id} was asked for with this Idempotency-Key and another request: take a new key for a new request`;
  throw new Refusal('idempotency_mismatch', detail, { members: { prediction_id: id } });
}
