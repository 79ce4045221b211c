/*
 * The way of any request into Temporal: an id, a place in the quotas, what it has stored, and its start. What is
 * refused leaves nothing behind; what may have been accepted keeps its payloads. The same request with the same
 * Idempotency-Key is the same record: its id is made of the key, and Temporal starts an id once.
 */
import type { AcceptedRequest } from '../contract/accepted-request.ts';
import { Refusal } from '../contract/refusal.ts';
import { refuseRemovedData } from '../records/removed-data.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Engine } from '../temporal/engine.ts';
import { AlreadyStartedError } from '../temporal/record-engine.ts';
import type { RecordKind } from '../temporal/record-queries.ts';
import { EngineUnavailableError } from '../temporal/timely-calls.ts';
import { idempotentId } from './idempotency.ts';
import { newId } from './new-id.ts';
import type { OrderHead } from './order.ts';
import { type Admission, NO_PLACE, type Place, type QuotaKeeper } from './quotas.ts';
import { Staging } from './staging.ts';

export type EntryHead = Pick<OrderHead, 'tenant' | 'version' | 'idempotencyKey'>;

export interface EntryDependencies {
  readonly engine: Engine;
  readonly store: PayloadStore;
  readonly quotas: QuotaKeeper;
}

/** How records of one kind are started and found again. */
export interface EntryKind<Accepted extends AcceptedRequest> {
  readonly kind: RecordKind;
  /** Resolves once Temporal has acknowledged it; throws `AlreadyStartedError`. */
  readonly start: (accepted: Accepted) => Promise<void>;
  readonly acceptedIn: (description: Awaited<ReturnType<Engine['describe']>>) => Accepted | null;
}

export interface Started<Accepted> {
  readonly accepted: Accepted;
  /** It was accepted before, with the same key. */
  readonly isReplayed: boolean;
}

const PREFIXES = { prediction: 'pred', batch: 'batch' } as const;

export class Entry<Accepted extends AcceptedRequest> {
  readonly id: string;
  /** What it puts into the store. */
  readonly staging: Staging;
  readonly #head: EntryHead;
  readonly #place: Place;
  readonly #kind: EntryKind<Accepted>;
  readonly #dependencies: EntryDependencies;

  private constructor(
    head: EntryHead,
    id: string,
    place: Place,
    kind: EntryKind<Accepted>,
    dependencies: EntryDependencies,
  ) {
    const { tenant, idempotencyKey } = head;
    this.id = id;
    this.staging = new Staging(dependencies.store, { tenant, id }, idempotencyKey === null);
    this.#head = head;
    this.#place = place;
    this.#kind = kind;
    this.#dependencies = dependencies;
  }

  /** It is ended by `start` or `discard`. */
  static async begin<Accepted extends AcceptedRequest>(
    head: EntryHead,
    kind: EntryKind<Accepted>,
    dependencies: EntryDependencies,
  ): Promise<Entry<Accepted>> {
    const { tenant, version, idempotencyKey: key } = head;
    const prefix = PREFIXES[kind.kind];
    const id = key === null ? newId(prefix) : idempotentId(prefix, tenant, key);
    if (key !== null) await refuseRemovedData(id, tenant, dependencies.store);
    const { name: model, version: number } = version.ref;
    const admission = { kind: kind.kind, id, tenant, model, version: number };
    const place = await admit(admission, key !== null, dependencies);
    return new Entry(head, id, place, kind, dependencies);
  }

  /** Starts what `record` makes; whatever fails, nothing of it is left that was not accepted. */
  async start(record: () => Promise<Accepted>): Promise<Started<Accepted>> {
    const { tenant, idempotencyKey } = this.#head;
    const { store } = this.#dependencies;
    try {
      const accepted = await record();
      // It may have been deleted while this was uploaded.
      if (idempotencyKey !== null) await refuseRemovedData(this.id, tenant, store);
      const started = await this.#startOnce(accepted);
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

  /** Gives up: nothing is left of it. */
  async discard(): Promise<void> {
    this.#place.release();
    await this.staging.discard();
  }

  #keep(): void {
    this.#place.started();
    this.staging.keep();
  }

  /** Starts it, or finds that it was started before. */
  async #startOnce(accepted: Accepted): Promise<Started<Accepted>> {
    const { id } = accepted;
    try {
      await this.#kind.start(accepted);
      return { accepted, isReplayed: false };
    } catch (error) {
      if (error instanceof AlreadyStartedError) return await this.#replayed(accepted);
      if (!(error instanceof EngineUnavailableError)) throw error;
      const doubt = `it is not certain that ${id} was accepted (${error.message})`;
      const detail = `${doubt}: look it up, or send the request again`;
      const members = { [`${this.#kind.kind}_id`]: id };
      throw new UnacknowledgedStart(
        new Refusal('engine_unavailable', detail, { cause: error, members }),
      );
    }
  }

  async #replayed(accepted: Accepted): Promise<Started<Accepted>> {
    const { engine, store } = this.#dependencies;
    const { id } = accepted;
    const description = await engine.describe(id).catch(async (error: unknown) => {
      await refuseRemovedData(id, accepted.tenant, store); // it was there a moment ago
      throw error;
    });
    const before = this.#kind.acceptedIn(description);
    if (before !== null && before.fingerprint === accepted.fingerprint) {
      return { accepted: before, isReplayed: true };
    }
    const detail = `${id} was asked for with this Idempotency-Key and another request: take a new key for a new request`;
    const members = { [`${this.#kind.kind}_id`]: id };
    throw new Refusal('idempotency_mismatch', detail, { members });
  }
}

class UnacknowledgedStart extends Error {
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}

/** Makes room for a request. A repetition of one that was accepted needs none. */
async function admit(
  admission: Admission,
  mayBeRepetition: boolean,
  { quotas, engine }: EntryDependencies,
): Promise<Place> {
  try {
    return await quotas.admit(admission);
  } catch (error) {
    const isThere = async () => await engine.describe(admission.id).then(() => true);
    if (!mayBeRepetition || !(await isThere().catch(() => false))) throw error;
    return NO_PLACE;
  }
}
