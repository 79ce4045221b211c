import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { healthRouter } from '../../../src/api/health.ts';
import type { PayloadStore } from '../../../src/storage/payload-store.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import type { Engine } from '../../../src/temporal/engine.ts';

test('however often anybody asks, the store is written to once a second, and told of without paths', async () => {
  let writes = 0;
  const store = {
    check: async () => {
      writes += 1;
      throw new Error('EACCES: /srv/secret/payloads');
    },
  } as unknown as PayloadStore;
  const engine = { check: async () => {} } as unknown as Engine;
  const logger = createLogger('test', 'silent');
  const server = express().use(healthRouter({ engine, store, logger })).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const sinceMs = Date.now();
  for (let asked = 0; asked < 50; asked++) {
    const answer = await fetch(`http://127.0.0.1:${port}/readyz`);
    expect(answer.status).toBe(503);
    expect(await answer.text()).not.toContain('/srv');
  }
  expect(writes).toBeLessThanOrEqual(1 + Math.floor((Date.now() - sinceMs) / 1000));
  server.closeAllConnections();
  server.close();
});
