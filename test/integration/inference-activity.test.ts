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
import type { Part } from '../../src/contract/work.ts';
import {
  type Inference,
  ModelCrashedError,
  type ModelRuntime,
  OutOfMemoryError,
} from '../../src/runtime/runtime.ts';
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

const activitiesOn = (
  own: ModelRuntime,
  ownStore: FilePayloadStore,
  onOutcome: (outcome: string) => void,
) =>
  createInferenceActivities({
    runtime: own,
    store: ownStore,
    inFlight: { enter: async () => async () => {} },
    worker: 'w',
    openBox: async () => createSecretBox([Buffer.alloc(32)]),
    spoolFolder: folder,
    engineInlineLimit: 10,
    inputBudget: new InputBudget(1000),
    onEnded: (_model, outcome) => onOutcome(outcome),
    onFirstPart: () => {},
  });

const preview = { preview: { image: 0, step: 1, media_type: 'image/png', data: 'AAAA' } };
const checkpoint = { checkpoint: { step: 1 } };

test.each<[string, Part, Error, string]>([
  ['a death after a preview', preview, new ModelCrashedError('died', false), 'poison_input'],
  ['a death after a checkpoint', checkpoint, new ModelCrashedError('died', false), 'model_crashed'],
  ['no memory after a preview', preview, new OutOfMemoryError('none', false), 'out_of_memory'],
])('%s, for the third time, ends as its work says', async (_what, part, error, expected) => {
  const failing: ModelRuntime = {
    ...runtime,
    async infer(_model, { onPart }) {
      onPart(part);
      return await Promise.reject(error);
    },
  };
  const outcomes: string[] = [];
  const activities = activitiesOn(failing, store, (outcome) => void outcomes.push(outcome));
  const environment = new MockActivityEnvironment();
  const earlier = { attempts: 2, deaths: 2, alone: true };
  const failure = await environment
    .run(async (given: InferRequest) => await activities.infer(given), { ...request, earlier })
    .catch((thrown: unknown) => thrown);
  const { nonRetryable } = failure as { nonRetryable?: boolean };

  expect([outcomes, nonRetryable]).toEqual([[expected], expected !== 'model_crashed']);
});

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
  const activities = activitiesOn(runtime, slowStore, (outcome) => void outcomes.push(outcome));
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
