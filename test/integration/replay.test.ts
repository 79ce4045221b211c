import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';

const folder = 'test/workflows/histories';

beforeAll(() => Runtime.install({ logger: new DefaultLogger('ERROR') }));

test.each(readdirSync(folder))('the saved history %s replays on this code', async (file) => {
  const history: unknown = JSON.parse(readFileSync(join(folder, file), 'utf8'));

  await Worker.runReplayHistory(
    { workflowBundle: { codePath: resolve('dist/workflow-bundle.js') } },
    history,
  );
});

test('there is one of each kind', () => {
  const kinds = readdirSync(folder).map((file) => file.split('.')[0]);

  expect(new Set(kinds)).toEqual(
    new Set([
      'success',
      'failure',
      'cancel',
      'crash-and-retry',
      'reset',
      'webhook',
      'delivery',
      'fetched-input',
      'changed-terms',
      'changed-and-reset',
    ]),
  );
});
