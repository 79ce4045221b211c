/* Errors as answers, also when answering fails. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { lastHandler, Problem, problemHandler } from '../../../../src/api/http/problems.ts';
import { createLogger } from '../../../../src/telemetry/logger.ts';

let server: Server;
let thrown: unknown;

beforeAll(async () => {
  const app = express();
  app.use(() => {
    throw thrown;
  });
  app.use(problemHandler(createLogger('test', 'silent')), lastHandler);
  server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => server.close());

const ask = async (): Promise<[number, string]> => {
  const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  return [answer.status, await answer.text()];
};

test('an answer that cannot be made is a constant one, without a stack', async () => {
  const members = { prediction_id: 1n as unknown as string }; // JSON has no such thing
  thrown = new Problem('not_found', 'there is no such thing', { members });
  const [status, text] = await ask();
  expect([status, JSON.parse(text)]).toMatchObject([500, { code: 'internal', status: 500 }]);
  expect(text).not.toContain('at ');
});

test('what a client has sent comes back in part only, however long it is', async () => {
  const errors = Array.from({ length: 5000 }, (_, index) => ({
    pointer: `/${index}/${'x'.repeat(10_000)}`,
    detail: 'y'.repeat(10_000),
  }));
  thrown = new Problem('invalid_input', 'z'.repeat(10_000_000), { errors });
  const [status, text] = await ask();
  expect(status).toBe(422);
  expect(text.length).toBeLessThan(64 * 1024);
  expect((JSON.parse(text) as { errors: unknown[] }).errors).toHaveLength(20);
});

test.each([new Error('secret detail'), 'a string', null, undefined])(
  '%p is 500 and tells nothing',
  async (error) => {
    thrown = error ?? new TypeError('secret');
    const [status, text] = await ask();
    expect(status).toBe(500);
    expect(text).not.toMatch(/secret|a string/);
  },
);
