/* Reads model.json, and finds everything that is wrong with it at once. */
import { readdir, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { messageOf } from '../contract/failure.ts';
import { readSmallFile, SmallFileError } from '../disk/small-file.ts';
import { plainMessage } from '../contract/issue-message.ts';
import type { Manifest } from '../contract/model.ts';
import type { Json } from '../contract/payload.ts';
import { type Configs, type Graphs, type PipelineSchema, PIPELINES } from '../pipelines/index.ts';
import { diffusersFiles, isDiffusersFolder } from './diffusers-folder.ts';
import { isOnnx, onnxFileIn } from './layout.ts';
import { readGraphSignature, UnsupportedGraphError } from '../onnx/signature.ts';

/** The memory limit of a process whose manifest names none; large weights add to it. */
const DEFAULT_MEMORY_MB = 1024;
const MEMORY_PER_WEIGHT = 3; // the file as read, the weights in memory, and what a run needs
const MIB = 1024 ** 2;
const MAX_MEMORY_MB = 16 * 1024 ** 2;
const MIN_RUN_S = 0.01;
const MAX_NAMED_FILES = 100; // each is looked at every two seconds
const MAX_PROBLEMS = 50;
const MAX_MANIFEST_BYTES = MIB;
const MAX_CONFIG_BYTES = MIB;
const MAX_DEPTH = 32; // a deeply nested value could not be sent to a model process

const fileSchema = z.strictObject({
  path: z.string().min(1),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be 64 lowercase hexadecimal digits')
    .exactOptional(),
});

const manifestSchema = z.strictObject({
  pipeline: z.string().refine((name) => Object.hasOwn(PIPELINES, name), {
    error: `must be one of ${Object.keys(PIPELINES).join(', ')}`,
  }),
  description: z.string().max(1000).default(''),
  files: z
    .record(z.string(), fileSchema)
    .refine((files) => Object.keys(files).length <= MAX_NAMED_FILES, {
      error: `must be at most ${MAX_NAMED_FILES}`,
    })
    .default({ model: { path: 'model.onnx' } }),
  options: z.record(z.string(), z.unknown()).default({}),
  batching: z
    .strictObject({
      max_size: z.int().min(1).max(1024).default(1),
      max_delay_ms: z.int().min(0).max(10_000).default(0),
    })
    .prefault({}),
  resources: z
    .strictObject({
      threads: z.int().min(1).max(256).default(1),
      replicas: z.int().min(1).max(64).default(1),
      memory_mb: z.int().min(64).max(MAX_MEMORY_MB).optional(),
      max_runs: z.int().min(1).nullable().default(null),
      preload: z.boolean().default(false),
    })
    .prefault({}),
  timeouts: z
    .strictObject({ run_s: z.number().min(MIN_RUN_S).max(86_400).default(120) })
    .prefault({}),
  license: z.string().nullable().default(null),
  source: z.string().nullable().default(null),
});

/** Of a folder as PyTorch has it, or of another kind of model. */
const NO_GRAPHS =
  'it has no graphs of a diffusion model: export it to ONNX, with optimum for example (docs/images.md); models with a transformer instead of a unet are not served';

/** What a version's folder holds, ready to be validated against and loaded. */
export interface VersionContent {
  readonly manifest: Manifest;
  /** Absolute paths by role. */
  readonly files: Readonly<Record<string, string>>;
  /** Signatures of the .onnx files, by role. */
  readonly graphs: Graphs;
  /** The JSON files that its pipeline describes itself by, by role. */
  readonly configs: Configs;
  readonly schema: PipelineSchema;
}

/** Everything that is wrong with a version; each problem has a place and a reason. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
  readonly problems: readonly string[];
  /** The files that the manifest names, as far as it could be read. */
  readonly references: readonly string[];
  constructor(problems: readonly string[], references: readonly string[]) {
    const first = problems.slice(0, MAX_PROBLEMS);
    const more = problems.length - first.length;
    const shown = more === 0 ? first : [...first, `and ${more} more`];
    super(shown.join('; '));
    this.problems = shown;
    this.references = references;
  }
}

/** The files that a manifest names, as it names them. */
export const referencesIn = ({ files }: Pick<Manifest, 'files'>): readonly string[] =>
  Object.values(files).map(({ path }) => path);

/** Reads the version in `folder`; throws `ManifestError`. */
export async function readVersionFolder(folder: string): Promise<VersionContent> {
  const problems: string[] = [];
  const parsed = await readManifest(folder, problems);
  const files: Record<string, string> = {};
  const graphs: Record<string, Graphs[string]> = {};
  const configs: Record<string, Json> = {};
  const described = PIPELINES[parsed?.pipeline ?? '']?.configs ?? [];
  let weightBytes = await bytesBeside(folder); // weights may lie in files that only the graph names
  for (const [role, file] of Object.entries(parsed?.files ?? {})) {
    try {
      const found = await findFile(folder, file.path);
      files[role] = found.path;
      if (dirname(found.path) !== folder) weightBytes += found.bytes;
      if (isOnnx(found.path)) graphs[role] = await readGraph(found.path, file.path);
      if (described.includes(role)) configs[role] = await readConfig(found.path, file.path);
    } catch (error) {
      problems.push(`files.${role}: ${messageOf(error)}`);
    }
  }
  if (parsed?.pipeline === 'diffusion' && Object.keys(graphs).length === 0)
    problems.push(NO_GRAPHS);
  if (parsed === null) throw new ManifestError(problems, []);
  if (problems.length > 0) throw new ManifestError(problems, referencesIn(parsed));
  const { memory_mb: given, ...resources } = parsed.resources;
  const memoryMb = given ?? DEFAULT_MEMORY_MB + Math.ceil((MEMORY_PER_WEIGHT * weightBytes) / MIB);
  const manifest: Manifest = { ...parsed, resources: { ...resources, memory_mb: memoryMb } };
  return { manifest, files, graphs, configs, schema: describe(manifest, graphs, configs) };
}

async function readGraph(path: string, name: string): Promise<Graphs[string]> {
  return await readGraphSignature(path).catch((error: unknown) => {
    if (error instanceof UnsupportedGraphError) throw new Error(`${name}: ${error.message}`);
    throw new Error(`${name} is not a whole ONNX file (${messageOf(error)})`, { cause: error });
  });
}

async function readConfig(path: string, name: string): Promise<Json> {
  try {
    const text = await readSmallFile(path, MAX_CONFIG_BYTES);
    const json = JSON.parse(text ?? '') as Json;
    if (isDeeper(json, MAX_DEPTH)) {
      throw new Error(`it is nested more than ${MAX_DEPTH} levels deep`);
    }
    return json;
  } catch (error) {
    const why = error instanceof SmallFileError ? `it ${error.message}` : messageOf(error);
    throw new Error(`${name} cannot be read: ${why}`, { cause: error });
  }
}

/** The manifest as far as it can be read; what is wrong goes into `problems`. */
async function readManifest(folder: string, problems: string[]) {
  const entries = await readdir(folder).catch(() => []);
  const graph = onnxFileIn(entries);
  let json: unknown = isDiffusersFolder(entries)
    ? { pipeline: 'diffusion', files: await diffusersFiles(folder) }
    : { pipeline: 'tensor', ...(graph ? { files: { model: { path: graph } } } : {}) };
  try {
    const text = await readSmallFile(join(folder, 'model.json'), MAX_MANIFEST_BYTES);
    const bare = text?.replace(/^\uFEFF/, ''); // some editors write a byte order mark
    if (bare !== undefined) json = await withFiles(JSON.parse(bare), folder, graph);
    if (isDeeper(json, MAX_DEPTH))
      throw new Error(`it is nested more than ${MAX_DEPTH} levels deep`);
  } catch (error) {
    const what = error instanceof SmallFileError ? `it ${error.message}` : messageOf(error);
    problems.push(`model.json cannot be read: ${what}`);
    return null;
  }
  const parsed = manifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) {
    problems.push(`model.json ${issue.path.join('.') || '(whole)'}: ${plainMessage(issue)}`);
  }
  // Its files can be looked at all the same, so that everything is told at once.
  const { files } = (json ?? {}) as { files?: unknown };
  const readable = z.object({ files: manifestSchema.shape.files }).safeParse({ files });
  if (readable.success)
    return { ...manifestSchema.parse({ pipeline: 'tensor' }), ...readable.data };
  return null;
}

/** Whether a JSON value has arrays and objects within each other on more than so many levels. */
function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((each) => isDeeper(each, levels - 1));
}

/**
 * If the manifest names no files, it means the only graph beside it, whatever its name; of a diffusion model, the usual
 * files.
 */
async function withFiles(json: unknown, folder: string, graph: string | null): Promise<unknown> {
  const isObject = typeof json === 'object' && json !== null && !Array.isArray(json);
  if (!isObject || 'files' in json) return json;
  if ('pipeline' in json && json.pipeline === 'diffusion') {
    return { ...json, files: await diffusersFiles(folder) };
  }
  return graph === null ? json : { ...json, files: { model: { path: graph } } };
}

function describe(manifest: Manifest, graphs: Graphs, configs: Configs): PipelineSchema {
  try {
    const schema = PIPELINES[manifest.pipeline]?.describe(manifest, graphs, configs);
    if (schema === undefined) throw new Error(`pipeline: no such pipeline ${manifest.pipeline}`);
    if (manifest.batching.max_size > 1 && schema.batchKey === null) {
      throw new Error('model.json batching.max_size: this model cannot run several inputs as one');
    }
    return schema;
  } catch (error) {
    throw new ManifestError([messageOf(error)], referencesIn(manifest));
  }
}

async function bytesBeside(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  const sizes = names.map(async (name) => {
    return await stat(join(folder, name)).then(
      (found) => (found.isFile() ? found.size : 0),
      () => 0,
    );
  });
  return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
}

/** `npm:<package>/<file>` is looked up from the version's folder upwards, then beside Buzzer. */
export async function findFile(
  folder: string,
  reference: string,
): Promise<{ path: string; bytes: number; modifiedMs: number }> {
  const candidates = reference.startsWith('npm:')
    ? [folder, dirname(fileURLToPath(import.meta.url))].flatMap((start) =>
        ancestors(start).map((parent) => join(parent, 'node_modules', reference.slice(4))),
      )
    : [isAbsolute(reference) ? reference : resolve(folder, reference)];
  for (const path of candidates) {
    const found = await stat(path).catch(() => null);
    if (found === null) continue;
    if (!found.isFile()) throw new Error(`${reference} is not a file`);
    return { path, bytes: found.size, modifiedMs: found.mtimeMs };
  }
  throw new Error(`${reference} does not exist`);
}

function ancestors(folder: string): string[] {
  const parent = dirname(folder);
  return parent === folder ? [folder] : [folder, ...ancestors(parent)];
}
