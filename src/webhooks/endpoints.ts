/* The webhook endpoints that a tenant has registered. */
import type { MatchingEndpoint, RecordEvent } from '../contract/receivers.ts';
import { TenantObject, type TenantObjects } from './tenant-object.ts';

/** The most endpoints of one tenant: each costs a workflow for every prediction. */
const MAX_ENDPOINTS = 16;

export interface WebhookEndpoint {
  /** `whe_…` */
  readonly id: string;
  readonly url: string;
  readonly events: readonly RecordEvent[];
  readonly description: string;
  readonly enabled: boolean;
  readonly created_at: string;
  readonly updated_at: string;
}

export type EndpointSettings = Pick<WebhookEndpoint, 'url' | 'events' | 'description' | 'enabled'>;

export class TooManyEndpointsError extends Error {
  override readonly name = 'TooManyEndpointsError';
  constructor() {
    super(`there are ${MAX_ENDPOINTS} endpoints already: delete one first`);
  }
}

/** There is no such endpoint, or no longer. */
export class EndpointNotFoundError extends Error {
  override readonly name = 'EndpointNotFoundError';
  constructor(id: string) {
    super(`there is no webhook endpoint ${id}`);
  }
}

export class WebhookEndpoints {
  readonly #object: TenantObject<readonly WebhookEndpoint[]>;

  constructor(objects: TenantObjects) {
    this.#object = new TenantObject(objects, 'webhook-endpoints');
  }

  /** In the order in which they were registered. */
  async list(tenant: string): Promise<readonly WebhookEndpoint[]> {
    return (await this.#object.read(tenant)) ?? [];
  }

  /** Throws `EndpointNotFoundError`. */
  async get(tenant: string, id: string): Promise<WebhookEndpoint> {
    return found(await this.list(tenant), id);
  }

  /** The enabled ones, as a prediction that is accepted now remembers them. */
  async matching(tenant: string): Promise<readonly MatchingEndpoint[]> {
    const enabled = (await this.list(tenant)).filter((endpoint) => endpoint.enabled);
    return enabled.map(({ id, url, events }) => ({ id, host: new URL(url).host, events }));
  }

  /** Throws `TooManyEndpointsError`. */
  async register(tenant: string, id: string, settings: EndpointSettings): Promise<WebhookEndpoint> {
    const now = new Date().toISOString();
    const endpoint = { id, ...settings, created_at: now, updated_at: now };
    await this.#object.update(tenant, (endpoints) => {
      if ((endpoints ?? []).length >= MAX_ENDPOINTS) throw new TooManyEndpointsError();
      return [...(endpoints ?? []), endpoint];
    });
    return endpoint;
  }

  /** Throws `EndpointNotFoundError`. */
  async change(
    tenant: string,
    id: string,
    changes: Partial<EndpointSettings>,
  ): Promise<WebhookEndpoint> {
    const updated_at = new Date().toISOString();
    const endpoints = await this.#object.update(tenant, (before) => {
      found(before ?? [], id);
      return (before ?? []).map((each) =>
        each.id === id ? { ...each, ...changes, updated_at } : each,
      );
    });
    return found(endpoints, id);
  }

  /** Throws `EndpointNotFoundError`. */
  async remove(tenant: string, id: string): Promise<void> {
    await this.#object.update(tenant, (before) => {
      found(before ?? [], id);
      return (before ?? []).filter((each) => each.id !== id);
    });
  }
}

function found(endpoints: readonly WebhookEndpoint[], id: string): WebhookEndpoint {
  const endpoint = endpoints.find((each) => each.id === id);
  if (endpoint === undefined) throw new EndpointNotFoundError(id);
  return endpoint;
}
