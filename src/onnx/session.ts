/*
 * One ONNX graph loaded in ONNX Runtime. Loaded only in a model process: `create` and `run` block
 * the thread for their whole length.
 */
import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import type { Datatype, GraphSignature, TensorSpec } from '../contract/tensor.ts';

export { Tensor };

/** Another one may compute slightly different numbers. */
export const runtimeVersion: string = env.versions.node ?? env.versions.common;

type OrtType = Tensor.Type;

/** Open Inference Protocol datatype → ONNX Runtime's name for it, where Node can take it. */
const ORT_TYPES: Partial<Record<Datatype, OrtType>> = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
};
const DATATYPES = new Map(
  Object.entries(ORT_TYPES).map(([datatype, type]) => [type as string, datatype as Datatype]),
);

export interface SessionOptions {
  /** `cpu`, `cuda:0` or `webgpu`. */
  readonly device: string;
  /** How many threads one run may use. */
  readonly threads: number;
  /** What the API has read out of the file; a session that differs is refused. */
  readonly graph: GraphSignature | undefined;
}

export interface Session {
  /** Runs the graph; `inputs` by name. The thread is blocked until it is done. */
  run(inputs: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>>;
  /** The same for a graph with one input; returns the first output. */
  runOne(input: Tensor): Promise<Tensor>;
  /** Gives its memory back. */
  close(): Promise<void>;
}

/** Loads the graph at `path`; throws when the file or the device cannot be used. */
export async function openSession(path: string, options: SessionOptions): Promise<Session> {
  const session = await InferenceSession.create(path, {
    executionProviders: [executionProvider(options.device)],
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3, // only errors: the warnings are for authors of graphs
  });
  const tensors = session.outputMetadata.filter(
    (each) => each.isTensor && DATATYPES.has(each.type),
  );
  const signature: GraphSignature = {
    inputs: session.inputMetadata.map(toSpec),
    outputs: tensors.map(toSpec),
  };
  checkSignature(signature, options.graph);
  const [input = ''] = session.inputNames;
  const outputs = tensors.map(({ name }) => name);
  const [output = ''] = outputs;
  return {
    run: async (inputs) => await session.run(inputs, outputs),
    runOne: async (tensor) => (await session.run({ [input]: tensor }, outputs))[output] as Tensor,
    close: async () => await session.release(),
  };
}

function checkSignature(session: GraphSignature, file: GraphSignature | undefined): void {
  if (file === undefined) return;
  const text = ({ inputs, outputs }: GraphSignature): string =>
    [...inputs, ...outputs].map(({ name, datatype }) => `${name} ${datatype}`).join(', ');
  if (text(session) === text(file)) return;
  throw new Error(`the graph has ${text(session)}, but its file was read as ${text(file)}`);
}

function executionProvider(device: string): InferenceSession.ExecutionProviderConfig {
  // The worker shows its model processes just one GPU, which is therefore always the first.
  if (device.startsWith('cuda:')) return { name: 'cuda', deviceId: 0 };
  return device;
}

function toSpec(metadata: InferenceSession.ValueMetadata): TensorSpec {
  if (!metadata.isTensor)
    throw new Error(`${metadata.name} is not a tensor, which is not supported`);
  return {
    name: metadata.name,
    datatype: datatypeOf(metadata.type),
    shape: metadata.shape.map((size) => (typeof size === 'number' && size < 0 ? null : size)),
  };
}

/** The Open Inference Protocol's name of an ONNX Runtime type; throws for one it lacks. */
export function datatypeOf(type: string): Datatype {
  const datatype = DATATYPES.get(type);
  if (datatype === undefined) throw new Error(`tensors of type ${type} are not supported`);
  return datatype;
}

/** ONNX Runtime's name of a datatype; throws for one that Node cannot take. */
export function ortTypeOf(datatype: Datatype): OrtType {
  const type = ORT_TYPES[datatype];
  if (type === undefined) throw new Error(`tensors of ${datatype} are not supported`);
  return type;
}
