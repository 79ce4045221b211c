/*
 * From a request to a workflow: validate, store the payloads, start. What is refused leaves
 * nothing behind; what may have been accepted keeps its payloads. The same request with the same
 * Idempotency-Key is the same prediction: its id is made of the key, and Temporal starts an id once.
 */
import { formatModelRef, parseModelRef } from '../contract/model.ts';
import { payloadKeys } from '../contract/payload.ts';
import type { Accepted } from '../contract/prediction.ts';
import type { BrokenVersion, ModelRepository, ModelVersion } from '../models/repository.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import { AlreadyStartedError, type PredictionEngine } from '../temporal/prediction-engine.ts';
import { EngineUnavailableError } from '../temporal/timely-calls.ts';
import { fingerprint, idempotentId } from './idempotency.ts';
import { newId } from './new-id.ts';
import { Refusal } from '../contract/refusal.ts';
import { NO_PLACE, type Place, type QuotaKeeper } from './quotas.ts';
import {
  compose,
  composeAgain,
  type CompositionDependencies,
  requireValid,
} from './composition.ts';
import type { OrderHead, PredictionOrder, StoreFile } from './order.ts';
import { type Halves, halvesOf } from '../temporal/halves.ts';
import { storeFile } from './store-input.ts';
import { refuseRemoved } from '../records/removed.ts';

export interface AcceptanceDependencies extends CompositionDependencies {
  readonly repository: ModelRepository;
  readonly engine: PredictionEngine;
  readonly quotas: QuotaKeeper;
  readonly limits: CompositionDependencies['limits'] & { readonly heartbeatTimeoutMs: number };
}

export interface AcceptedOrder {
  readonly accepted: Accepted;
  /** It was accepted before, with the same key. */
  readonly isReplayed: boolean;
}

export type Acceptance = ReturnType<typeof createAcceptance>;

export function createAcceptance(dependencies: AcceptanceDependencies) {
  const { repository } = dependencies;

  return {
    /** The version a request means: `ocr` or `ocr@1`; throws the problem `model_not_found`. */
    resolve(text: string): ModelVersion {
      const ref = parseModelRef(text);
      const version = ref === null ? undefined : repository.find(ref.name, ref.version);
      if (version !== undefined) return version;
      const broken = ref === null ? undefined : repository.findBroken(ref.name, ref.version);
      if (broken !== undefined) throw brokenProblem(broken, repository);
      const known = repository.all().map((each) => formatModelRef(each.ref));
      throw new Refusal(
        'model_not_found',
        `there is no model ${text.slice(0, 100)}; served: ${known.join(', ')}`,
      );
    },

    /** Accepts a prediction; when this resolves, Temporal has it. */
    async accept(order: PredictionOrder): Promise<AcceptedOrder> {
      requireValid(order);
      return await place(order, dependencies, async (id, onKey) => {
        return await compose(id, order, dependencies, onKey);
      });
    },

    /** The same for one whose body has to be stored while it is read: `read` makes of it the rest. */
    async acceptUpload(
      head: OrderHead,
      read: (store: StoreFile) => Promise<PredictionOrder>,
    ): Promise<AcceptedOrder> {
      return await place(head, dependencies, async (id, onKey) => {
        const to = { ...dependencies, onKey };
        const order = await read(
          async (field, body) =>
            await storeFile({ tenant: head.tenant, id }, head.version, field, body, to),
        );
        requireValid(order);
        return await compose(id, order, dependencies, onKey);
      });
    },

    /** The same input, options and terms once more, on the same version, as a new prediction. */
    async retry(
      before: Halves,
      head: Pick<OrderHead, 'idempotencyKey' | 'traceparent'>,
    ): Promise<AcceptedOrder> {
      const { idempotencyKey, traceparent } = head;
      const { tenant, model, version: number } = before.accepted;
      // Nobody would serve it otherwise.
      const version = this.resolve(formatModelRef({ name: model, version: number }));
      return await place({ tenant, version, idempotencyKey }, dependencies, async (id, onKey) => {
        const accepted = {
          ...(await composeAgain(id, before, dependencies, onKey)),
          ...(traceparent === null ? {} : { traceparent }),
        };
        if (idempotencyKey === null) return accepted;
        return { ...accepted, fingerprint: fingerprint(['retry', before.accepted.id], {}) };
      });
    },
  };
}

/** Makes room for it. A repetition of what is there needs none. */
async function admit(
  admission: Pick<Accepted, 'id' | 'tenant' | 'model' | 'version'>,
  mayBeThere: boolean,
  { quotas, engine }: AcceptanceDependencies,
): Promise<Place> {
  try {
    return await quotas.admit(admission);
  } catch (error) {
    const isThere = async () => await engine.describe(admission.id).then(() => true);
    if (!mayBeThere || !(await isThere().catch(() => false))) throw error;
    return NO_PLACE;
  }
}

/** Has a prediction prepared and starts it; what it stored is kept only if it was started. */
async function place(
  { tenant, version, idempotencyKey }: Pick<OrderHead, 'tenant' | 'version' | 'idempotencyKey'>,
  dependencies: AcceptanceDependencies,
  prepare: (id: string, onKey: (key: string) => void) => Promise<Accepted>,
): Promise<AcceptedOrder> {
  const { store } = dependencies;
  const id = idempotencyKey === null ? newId('pred') : idempotentId(tenant, idempotencyKey);
  if (idempotencyKey !== null) await refuseRemoved(id, tenant, store);
  const { name: model, version: number } = version.ref;
  const admission = { id, tenant, model, version: number };
  const room = await admit(admission, idempotencyKey !== null, dependencies);
  const keys: string[] = []; // of this upload: another's, with the same id, is not ours to delete
  try {
    const accepted = await prepare(id, (key) => keys.push(key));
    if (idempotencyKey !== null) await refuseRemoved(id, tenant, store); // while it was uploaded
    const started = await start(accepted, dependencies);
    if (started.isReplayed) {
      room.release();
      await deleteAll(keys, store);
    } else room.started();
    return started;
  } catch (error) {
    // A start that was not acknowledged may have happened all the same.
    if (error instanceof UnacknowledgedStart) {
      room.started();
      throw error.problem;
    }
    room.release();
    if (idempotencyKey === null) keys.push(payloadKeys.prediction({ tenant, id })); // all of it is ours
    await deleteAll(keys, store);
    throw error;
  }
}

async function deleteAll(keys: readonly string[], store: PayloadStore): Promise<void> {
  await Promise.all(keys.map(async (key) => await store.delete(key))).catch(() => {});
}

function brokenProblem({ ref, problems }: BrokenVersion, repository: ModelRepository): Refusal {
  const why = repository.withoutFolders(problems.join('; '));
  const label = formatModelRef(ref);
  const detail = `${label} cannot be served until its folder is repaired: ${why}`;
  return new Refusal('model_unavailable', detail);
}

class UnacknowledgedStart extends Error {
  readonly problem: Refusal;
  constructor(problem: Refusal) {
    super(problem.message);
    this.problem = problem;
  }
}

/** Starts it, or finds that it was started before. */
async function start(
  accepted: Accepted,
  { engine, store, limits }: AcceptanceDependencies,
): Promise<AcceptedOrder> {
  const { id } = accepted;
  try {
    await engine.start({ accepted, heartbeatTimeoutMs: limits.heartbeatTimeoutMs });
    return { accepted, isReplayed: false };
  } catch (error) {
    if (error instanceof AlreadyStartedError) return await replayed(accepted, { engine, store });
    if (!(error instanceof EngineUnavailableError)) throw error;
    const detail = `it is not certain that ${id} was accepted (${error.message}): look it up, or send the request again`;
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
    await refuseRemoved(id, accepted.tenant, store); // it was there a moment ago
    throw error;
  });
  const before = halvesOf(description)?.accepted;
  if (before !== undefined && before.fingerprint === accepted.fingerprint) {
    return { accepted: before, isReplayed: true };
  }
  const detail = `${id} was asked for with this Idempotency-Key and another request: take a new key for a new request`;
  throw new Refusal('idempotency_mismatch', detail, { members: { prediction_id: id } });
}
