/* Jest's globalSetup: starts a Temporal server for each jest worker. `stop-shared-temporal.ts` ends them. */
import type { Config } from 'jest';
import { SHARED_SERVERS, startTemporal, type TemporalServer } from './temporal.ts';

declare global {
  var sharedTemporalServers: readonly TemporalServer[] | undefined;
}

export default async function startSharedServers({ maxWorkers }: Config): Promise<void> {
  const wanted = Array.from({ length: Number(maxWorkers) });
  const servers = await Promise.all(wanted.map(async () => await startTemporal()));
  globalThis.sharedTemporalServers = servers;
  const shown = servers.map(({ address, folder }) => ({ address, folder }));
  process.env[SHARED_SERVERS] = JSON.stringify(shown);
}
