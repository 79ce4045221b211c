/* Finding what a tenant has asked for, and only that: what is another tenant's does not exist. */
import type { WorkflowExecutionDescription } from '@temporalio/client';
import type { AcceptedRequest } from '../contract/accepted-request.ts';
import { expiresAtMs } from '../contract/prediction-record.ts';
import { Refusal } from '../contract/refusal.ts';
import type { PayloadStore } from '../storage/payload-store.ts';
import type { Engine } from '../temporal/engine.ts';
import type { Memo } from '../temporal/memo.ts';
import { WorkflowMissingError } from '../temporal/timely-calls.ts';
import { refuseRemovedData } from './removed-data.ts';

interface End {
  readonly completed_at: string;
}

export interface Found<Accepted, Ended> extends Memo<Accepted, Ended> {
  readonly description: WorkflowExecutionDescription;
}

export class OwnRecords<Accepted extends AcceptedRequest, Ended extends End> {
  readonly #engine: Engine;
  readonly #store: PayloadStore;
  readonly #memoOf: (description: WorkflowExecutionDescription) => Memo<Accepted, Ended> | null;

  constructor(
    { engine, store }: { readonly engine: Engine; readonly store: PayloadStore },
    memoOf: (description: WorkflowExecutionDescription) => Memo<Accepted, Ended> | null,
  ) {
    this.#engine = engine;
    this.#store = store;
    this.#memoOf = memoOf;
  }

  /** Throws `WorkflowMissingError`, also for another tenant's, and refuses as `expired` and `data_removed`. */
  async find(id: string, tenant: string): Promise<Found<Accepted, Ended>> {
    const description = await this.#ask(id, tenant);
    const found = this.#ownOnly(description, id, tenant);
    // Temporal forgets a deleted workflow up to a minute later, so the tombstone decides.
    if (found.ended !== null) await refuseRemovedData(id, tenant, this.#store);
    if (found.ended !== null && this.isExpired(found.accepted, found.ended)) {
      const at = new Date(expiresAtMs(found.accepted, found.ended)).toISOString();
      throw new Refusal('expired', `the result of ${id} expired at ${at}`);
    }
    return { description, ...found };
  }

  /** The same, also when it has expired or was deleted but has yet to go from everywhere. */
  async findRemains(id: string, tenant: string): Promise<Memo<Accepted, Ended>> {
    return this.#ownOnly(await this.#ask(id, tenant), id, tenant);
  }

  /** The two halves in a description; throws `WorkflowMissingError` when it is of another kind of workflow. */
  read(description: WorkflowExecutionDescription, id: string): Memo<Accepted, Ended> {
    const memo = this.#memoOf(description);
    if (memo === null) throw new WorkflowMissingError(id);
    return memo;
  }

  isExpired(accepted: Accepted, ended: Ended): boolean {
    return Date.now() > expiresAtMs(accepted, ended);
  }

  async #ask(id: string, tenant: string): Promise<WorkflowExecutionDescription> {
    return await this.#engine.describe(id).catch(async (error: unknown) => {
      if (error instanceof WorkflowMissingError) await refuseRemovedData(id, tenant, this.#store);
      throw error;
    });
  }

  #ownOnly(
    description: WorkflowExecutionDescription,
    id: string,
    tenant: string,
  ): Memo<Accepted, Ended> {
    const found = this.read(description, id);
    if (found.accepted.tenant === tenant) return found;
    throw new WorkflowMissingError(id);
  }
}
