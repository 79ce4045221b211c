/* What the Open Inference Protocol (v2) says of the server and of its models. */
import type { GraphSignature, TensorSpec } from '../contract/tensor.ts';
import type { ModelRepository, ModelVersion } from '../model/repository.ts';
import { TENSOR_FILE } from '../pipelines/index.ts';
import { Problem } from './problems.ts';

export const serverMetadata = (version: string) => ({
  name: 'buzzer',
  version,
  extensions: ['binary_tensor_data', 'model_repository'],
});

/** A version that the protocol can be used on: of the tensor pipeline. */
export function findTensorModel(
  repository: ModelRepository,
  name: string,
  version: string | undefined,
): { readonly version: ModelVersion; readonly graph: GraphSignature } {
  const label = `${name}${version === undefined ? '' : ` version ${version}`}`.slice(0, 100);
  const [, atName = name, atVersion = version] = /^([^@]+)@(\d+)$/.exec(name) ?? [];
  const number = atVersion === undefined ? null : Number(atVersion);
  const found = repository.find(atName, number);
  if (found === undefined) {
    const broken = repository.findBroken(atName, number);
    if (broken === undefined) throw new Problem('model_not_found', `there is no model ${label}`);
    const reasons = broken.problems.join('; ');
    throw new Problem('model_unavailable', `${label} cannot be served: ${reasons}`);
  }
  const graph = found.graphs[TENSOR_FILE];
  if (found.manifest.pipeline === 'tensor' && graph !== undefined) return { version: found, graph };
  const detail = `${label} takes no tensors (its pipeline is ${found.manifest.pipeline}): use /v1/models/${name}`;
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

/** A size that may vary is -1. */
const tensorMetadata = ({ name, datatype, shape }: TensorSpec) => ({
  name,
  datatype,
  shape: shape.map((size) => (typeof size === 'number' ? size : -1)),
});

/** Every version in the repository, those that cannot be served with their reason. */
export const repositoryIndex = (repository: ModelRepository) => [
  ...repository
    .all()
    .filter(({ manifest }) => manifest.pipeline === 'tensor')
    .map(({ ref }) => ({
      name: ref.name,
      version: String(ref.version),
      state: 'READY',
      reason: '',
    })),
  ...repository.broken().map(({ ref, problems }) => ({
    name: ref.name,
    version: String(ref.version),
    state: 'UNAVAILABLE',
    reason: problems.join('; '),
  })),
];
