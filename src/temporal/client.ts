import { Client, Connection, type ConnectionOptions } from '@temporalio/client';

export interface EngineOptions {
  readonly connection: ConnectionOptions;
  readonly namespace: string;
  /** The name that histories show. */
  readonly identity: string;
}

/**
 * A client that connects at its first call, so that a process can start before its Temporal
 * server does. Close its connection when done.
 */
export function createClient({ connection, namespace, identity }: EngineOptions): Client {
  return new Client({ connection: Connection.lazy(connection), namespace, identity });
}
