/* What the Open Inference Protocol (v2) says of the server and of its models. */
import type { ModelRef } from '../../contract/model.ts';
import type { GraphSignature, TensorSpec } from '../../contract/tensor.ts';
import type { ModelRepository, ModelVersion } from '../../models/repository.ts';
import { TENSOR_FILE } from '../../pipelines/index.ts';
import type { Acceptance } from '../../submission/acceptance.ts';
import type { WhyQueued } from '../../records/why-queued.ts';
import { Problem } from '../http/problems.ts';

export const serverMetadata = (version: string) => ({
  name: 'buzzer',
  version,
  extensions: ['binary_tensor_data', 'model_repository'],
});

/** Finds a version of the tensor pipeline, which alone the protocol can be used on. Throws `Problem`. */
export function findTensorModel(
  acceptance: Acceptance,
  name: string,
  version: string | undefined,
): { readonly version: ModelVersion; readonly graph: GraphSignature } {
  const label = version === undefined ? name : `${name}@${version}`;
  const found = acceptance.resolve(label);
  const graph = found.graphs[TENSOR_FILE];
  if (found.manifest.pipeline === 'tensor' && graph !== undefined) return { version: found, graph };
  const detail = `${label} takes no tensors (its pipeline is ${found.manifest.pipeline}): use /v1/models/${label}`;
  throw new Problem('model_not_found', detail);
}

export const modelMetadata = (
  { ref }: ModelVersion,
  graph: GraphSignature,
  repository: ModelRepository,
) => ({
  name: ref.name,
  versions: repository.versionsOf(ref.name).map((each) => String(each.ref.version)),
  platform: 'onnx_onnxv1',
  inputs: graph.inputs.map(tensorMetadata),
  outputs: graph.outputs.map(tensorMetadata),
});

/** The protocol writes a size that may vary as -1. */
const tensorMetadata = ({ name, datatype, shape }: TensorSpec) => ({
  name,
  datatype,
  shape: shape.map((size) => (typeof size === 'number' ? size : -1)),
});

/** Every version in the repository, those that cannot be served with their reason. */
export async function repositoryIndex(repository: ModelRepository, whyQueued: WhyQueued) {
  const tensorModels = repository.all().filter(({ manifest }) => manifest.pipeline === 'tensor');
  const known = tensorModels.map(async ({ ref }) => {
    const workers = await whyQueued.workersOf(ref);
    const isServed = workers.some(({ state }) => state !== 'unavailable');
    return indexEntry(ref, isServed ? null : (workers[0]?.reason ?? 'no worker serves it'));
  });
  const broken = repository
    .broken()
    .map(({ ref, problems }) => indexEntry(ref, repository.withoutFolders(problems.join('; '))));
  return [...(await Promise.all(known)), ...broken];
}

const indexEntry = ({ name, version }: ModelRef, problem: string | null) => ({
  name,
  version: String(version),
  state: problem === null ? 'READY' : 'UNAVAILABLE',
  reason: problem ?? '',
});
