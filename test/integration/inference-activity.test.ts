/* The infer activity by itself: what it does with a cancel at the worst moment. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { MockActivityEnvironment } from '@temporalio/testing';
import { Runtime } from '@temporalio/worker';
import { createInferenceActivities } from '../../src/activities/inference.ts';
import { InputBudget } from '../../src/activities/input-budget.ts';
import type { ModelVersion } from '../../src/models/repository.ts';
import type { InferRequest, InferResult } from '../../src/contract/messages.ts';
import type { Claim } from '../../src/contract/payload.ts';
import type { Inference, ModelRuntime } from '../../src/runtime/runtime.ts';
import { createSecretBox } from '../../src/secrets/secret-box.ts';
import { FilePayloadStore } from '../../src/storage/file-payload-store.ts';

let folder: string;
let store: FilePayloadStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'buzzer-payloads-'));
  store = await FilePayloadStore.open(folder);
});
afterEach(async () => await rm(folder, { recursive: true }));
// The environment starts Temporal's runtime, which would keep this process from ending.
afterAll(async () => await Runtime.instance().shutdown());

const request: InferRequest = {
  id: 'pred_00000000000000000000000000',
  tenant: 'default',
  model: 'm',
  version: 1,
  input: {},
  options: {},
  created_at: new Date().toISOString(),
  priority: 3,
  runTimeoutMs: 1000,
  earlier: { attempts: 0, deaths: 0, alone: false },
};
const inference: Inference = {
  output: Buffer.from(JSON.stringify('x'.repeat(100))),
  mediaType: 'application/json',
  loadMs: null,
  inferenceMs: 1,
  batchSize: 1,
  device: 'cpu',
  tokens: null,
  files: [],
};
const runtime: ModelRuntime = {
  infer: async () => inference,
  inferMany: async () => [],
  factsOf: () => ({
    version: { schema: { media: {} } } as ModelVersion,
    identity: 'm',
    isStreaming: false,
  }),
  states: () => [],
  onStateChange: () => {},
};

test('canceled while it stores the output, the result is kept: the cancel came too late', async () => {
  const environment = new MockActivityEnvironment();
  const stored: Claim[] = [];
  const slowStore = Object.create(store) as FilePayloadStore;
  slowStore.put = async (...arguments_) => {
    environment.cancel();
    const claim = await store.put(...arguments_);
    stored.push(claim);
    return claim;
  };
  const outcomes: string[] = [];
  const activities = createInferenceActivities({
    runtime,
    store: slowStore,
    inFlight: { enter: async () => async () => {} },
    worker: 'w',
    openBox: async () => createSecretBox([Buffer.alloc(32)]),
    spoolFolder: folder,
    engineInlineLimit: 10,
    inputBudget: new InputBudget(1000),
    onEnded: (_model, outcome) => void outcomes.push(outcome),
    onFirstPart: () => {},
  });
  const result = (await environment.run(
    async (given: InferRequest) => await activities.infer(given),
    request,
  )) as InferResult;

  expect(result.output).toEqual({ kind: 'claim', claim: stored[0] });
  expect(stored[0]?.bytes).toBe(inference.output.length);
  expect(await buffer(await store.open(stored[0]?.key ?? ''))).toHaveLength(
    inference.output.length,
  );
  expect(outcomes).toEqual(['succeeded']);
});
