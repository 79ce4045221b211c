/*
 * The model repository: folders of `<name>/<version>/model.json`, or of a lone model.onnx that the
 * tensor pipeline serves with defaults. It finds, validates and documents models; it loads none.
 */
import { access, readdir, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { messageOf } from '../contract/failure.ts';
import {
  formatModelRef,
  isModelName,
  type Manifest,
  type ModelRef,
  parseModelVersion,
} from '../contract/model.ts';
import { type Graphs, type PipelineSchema, PIPELINES } from '../pipelines/index.ts';
import { readGraphSignature } from './onnx-file.ts';

const manifestSchema = z.strictObject({
  pipeline: z.string().refine((name) => Object.hasOwn(PIPELINES, name), {
    error: `must be one of ${Object.keys(PIPELINES).join(', ')}`,
  }),
  description: z.string().max(1000).default(''),
  files: z
    .record(
      z.string(),
      z.strictObject({
        path: z.string().min(1),
        sha256: z
          .string()
          .regex(/^[0-9a-f]{64}$/, 'must be 64 lowercase hexadecimal digits')
          .exactOptional(),
      }),
    )
    .default({ model: { path: 'model.onnx' } }),
  options: z.record(z.string(), z.unknown()).default({}),
  resources: z
    .strictObject({
      threads: z.int().min(1).max(256).default(1),
      replicas: z.int().min(1).max(64).default(1),
      preload: z.boolean().default(false),
    })
    .prefault({}),
  timeouts: z.strictObject({ run_s: z.number().positive().max(86_400).default(120) }).prefault({}),
  license: z.string().nullable().default(null),
  source: z.string().nullable().default(null),
}) satisfies z.ZodType<Manifest>;

/** One version of a model, ready to be validated against, documented and loaded. */
export interface ModelVersion {
  readonly ref: ModelRef;
  readonly folder: string;
  readonly manifest: Manifest;
  /** Absolute paths by role. */
  readonly files: Readonly<Record<string, string>>;
  /** Signatures of the .onnx files, by role. */
  readonly graphs: Graphs;
  readonly schema: PipelineSchema;
}

/** A model that cannot be served as it is written; the message is one line that names it. */
export class RepositoryError extends Error {
  override readonly name = 'RepositoryError';
}

export class ModelRepository {
  readonly #versions: ReadonlyMap<string, readonly ModelVersion[]>;

  private constructor(versions: readonly ModelVersion[]) {
    const byName = new Map<string, ModelVersion[]>();
    for (const version of versions.toSorted((a, b) => b.ref.version - a.ref.version)) {
      byName.set(version.ref.name, [...(byName.get(version.ref.name) ?? []), version]);
    }
    this.#versions = byName;
  }

  /** Reads every folder that exists; throws `RepositoryError` that lists every mistake. */
  static async open(folders: readonly string[]): Promise<ModelRepository> {
    const versions: ModelVersion[] = [];
    const problems: string[] = [];
    for (const folder of folders) {
      for (const found of await findVersions(folder)) {
        try {
          const twin = versions.find(
            (version) => formatModelRef(version.ref) === formatModelRef(found.ref),
          );
          if (twin !== undefined) throw new Error(`${twin.folder} already is this version`);
          versions.push(await readVersion(found.ref, found.folder));
        } catch (error) {
          problems.push(`${found.folder}: ${messageOf(error)}`);
        }
      }
    }
    if (problems.length > 0) throw new RepositoryError(problems.join('; '));
    return new ModelRepository(versions);
  }

  /** Every version, by name and newest first. */
  all(): readonly ModelVersion[] {
    return [...this.#versions.values()].flat().sort((a, b) => a.ref.name.localeCompare(b.ref.name));
  }

  /** The versions of one model, newest first; empty when there is no such model. */
  versionsOf(name: string): readonly ModelVersion[] {
    return this.#versions.get(name) ?? [];
  }

  /** One version, the highest when `version` is null; undefined when there is none. */
  find(name: string, version: number | null): ModelVersion | undefined {
    const versions = this.versionsOf(name);
    return version === null ? versions[0] : versions.find((each) => each.ref.version === version);
  }
}

async function findVersions(folder: string): Promise<{ ref: ModelRef; folder: string }[]> {
  const found: { ref: ModelRef; folder: string }[] = [];
  for (const name of await foldersIn(folder)) {
    for (const versionName of await foldersIn(join(folder, name))) {
      const version = parseModelVersion(versionName);
      const path = join(folder, name, versionName);
      if (version === null || !isModelName(name)) continue;
      if ((await exists(join(path, 'model.json'))) || (await exists(join(path, 'model.onnx')))) {
        found.push({ ref: { name, version }, folder: path });
      }
    }
  }
  return found;
}

async function readVersion(ref: ModelRef, folder: string): Promise<ModelVersion> {
  const manifest = await readManifest(folder);
  const files: Record<string, string> = {};
  const graphs: Record<string, Graphs[string]> = {};
  for (const [role, file] of Object.entries(manifest.files)) {
    const path = await resolveFile(folder, file.path).catch((error: unknown) => {
      throw new Error(`files.${role}: ${messageOf(error)}`);
    });
    files[role] = path;
    if (!path.endsWith('.onnx')) continue;
    graphs[role] = await readGraphSignature(path).catch((error: unknown) => {
      throw new Error(`files.${role}: ${path} cannot be read: ${String(error)}`);
    });
  }
  const pipeline = PIPELINES[manifest.pipeline];
  if (pipeline === undefined) throw new Error(`pipeline: no such pipeline ${manifest.pipeline}`);
  return { ref, folder, manifest, files, graphs, schema: pipeline.describe(manifest, graphs) };
}

async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, 'model.json');
  if (!(await exists(path))) return manifestSchema.parse({ pipeline: 'tensor' });
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new Error(`model.json is not JSON: ${String(error)}`, { cause: error });
  }
  const parsed = manifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new Error(
    parsed.error.issues
      .map((issue) => `model.json ${issue.path.join('.') || '(whole)'}: ${issue.message}`)
      .join(', '),
  );
}

/** `npm:<package>/<file>` is looked up from the version's folder upwards, then beside Buzzer. */
async function resolveFile(folder: string, reference: string): Promise<string> {
  const candidates = reference.startsWith('npm:')
    ? [folder, dirname(fileURLToPath(import.meta.url))].flatMap((start) =>
        ancestors(start).map((parent) => join(parent, 'node_modules', reference.slice(4))),
      )
    : [isAbsolute(reference) ? reference : resolve(folder, reference)];
  for (const candidate of candidates) if (await exists(candidate)) return candidate;
  throw new Error(`${reference} does not exist`);
}

function ancestors(folder: string): string[] {
  const parent = dirname(folder);
  return parent === folder ? [folder] : [folder, ...ancestors(parent)];
}

async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
      throw new RepositoryError(`${folder} cannot be read: ${error.message}`, { cause: error });
    },
  );
  return entries
    .filter((entry) => entry.isDirectory() || entry.isSymbolicLink())
    .map((entry) => entry.name)
    .sort();
}

const exists = async (path: string): Promise<boolean> =>
  await access(path).then(
    () => true,
    () => false,
  );
