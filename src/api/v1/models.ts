/* /v1/models: what is served, how to call it, and how its workers are doing. */
import { Router } from 'express';
import { z } from 'zod';
import { type ModelRef, parseModelRef } from '../../contract/model.ts';
import type { BrokenVersion, ModelRepository, ModelVersion } from '../../models/repository.ts';
import type { Acceptance } from '../../submission/acceptance.ts';
import { listOf } from './lists.ts';
import type { WhyQueued } from '../../records/why-queued.ts';
import type { ServingWorker } from '../../records/worker-states.ts';

export interface ModelsDependencies {
  readonly repository: ModelRepository;
  readonly acceptance: Acceptance;
  readonly whyQueued: WhyQueued;
  readonly publicUrl: string;
}

export function modelsRouter(dependencies: ModelsDependencies): Router {
  const { repository, acceptance, whyQueued, publicUrl } = dependencies;
  const toResource = async (version: ModelVersion) =>
    modelResource(version, repository, publicUrl, await whyQueued.workersOf(version.ref));
  const shown = (problem: string) => repository.withoutFolders(problem);
  const toBroken = ({ ref, problems }: BrokenVersion) => brokenResource(ref, problems.map(shown));
  const router = Router();
  router.get('/models', async (_request, response) => {
    const served = await Promise.all(repository.all().map(toResource));
    const data = [...served, ...repository.broken().map(toBroken)];
    response.json({ ...listOf(data), problems: repository.problems().map(shown) });
  });
  router.get('/models/:model', async (request, response) => {
    const ref = parseModelRef(request.params.model);
    const isServed = ref === null || repository.find(ref.name, ref.version) !== undefined;
    const broken = isServed ? undefined : repository.findBroken(ref.name, ref.version);
    if (broken !== undefined) response.json(toBroken(broken));
    else response.json(await toResource(acceptance.resolve(request.params.model)));
  });
  return router;
}

/** What can be said of a version that cannot be served. */
const brokenResource = (ref: ModelRef, problems: readonly string[]) => ({
  object: 'model',
  name: ref.name,
  version: ref.version,
  state: 'unavailable',
  reason: problems.join('; '),
  problems,
  workers: [],
});

function modelResource(
  { ref, manifest, schema, graphs }: ModelVersion,
  repository: ModelRepository,
  publicUrl: string,
  workers: readonly ServingWorker[],
) {
  const versions = repository.versionsOf(ref.name).map((each) => each.ref.version);
  return {
    object: 'model',
    name: ref.name,
    version: ref.version,
    versions,
    is_default: versions[0] === ref.version,
    pipeline: manifest.pipeline,
    description: manifest.description,
    license: manifest.license,
    source: manifest.source,
    state: stateOf(workers),
    reason: stateOf(workers) === 'unavailable' ? (workers[0]?.reason ?? null) : null,
    batching: manifest.batching,
    resources: manifest.resources,
    workers: workers.map(({ model: _model, version: _version, ...worker }) => worker),
    run_timeout_s: manifest.timeouts.run_s,
    media: Object.fromEntries(
      Object.entries(schema.media).map(([field, { accept }]) => [field, accept]),
    ),
    input_schema: z.toJSONSchema(schema.forms ?? schema.input), // every form that the model takes
    options_schema: z.toJSONSchema(schema.options, { io: 'input' }),
    output_schema: z.toJSONSchema(schema.output),
    output_forms: schema.streaming?.kind === 'pages' ? Object.keys(schema.streaming.forms) : [],
    graphs,
    urls: { predictions: `${publicUrl}/v1/models/${ref.name}@${ref.version}/predictions` },
  };
}

/** The best that any worker offers. */
function stateOf(workers: readonly ServingWorker[]): ServingWorker['state'] | 'no_worker' {
  const order = ['ready', 'loading', 'idle', 'unavailable'] as const;
  return order.find((state) => workers.some((worker) => worker.state === state)) ?? 'no_worker';
}
