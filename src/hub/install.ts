/*
 * Makes a version of a model from files of a hub or of a folder. They are gathered in a hidden folder, which nobody
 * serves, and become a version by one rename. What was gathered before is kept for the next try.
 */
import { copyFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseModelVersion } from '../contract/model.ts';
import { sha256OfFile } from '../disk/hash-file.ts';
import { makeFolder } from '../disk/make-folder.ts';
import { readSmallFile } from '../disk/small-file.ts';
import { DIFFUSION, type Dtype } from '../pipelines/index.ts';
import { checkFile, download } from './download.ts';
import { HubError } from './hub-error.ts';
import type { HubFile, HubRepository } from './repository.ts';
import type { Hub } from './request.ts';
import { type ChosenFile, selectFiles } from './selection.ts';

const MAX_MANIFEST_BYTES = 1024 ** 2;

export interface InstallOptions {
  /** The folder of models. */
  readonly models: string;
  /** What the model is called here. */
  readonly name: string;
  readonly task: string;
  readonly dtype: Dtype;
  /** What it is called where it comes from. */
  readonly title: string;
  /** Told how much of a file is there. */
  readonly onProgress: (path: string, bytes: number, ofBytes: number) => void;
}

export interface Installed {
  readonly folder: string;
  readonly version: number;
  /** False: this very version was there before. */
  readonly isNew: boolean;
}

/** Throws `HubError`. */
export async function installFromHub(
  hub: Hub,
  repository: HubRepository,
  options: InstallOptions,
): Promise<Installed> {
  const { name, commit, license } = repository;
  const byPath = new Map(repository.files.map((file) => [file.path, file]));
  const chosen = selectFiles([...byPath.keys()], options.task, options.dtype);
  const source = `${hub.endpoint}/${name}/tree/${commit}`;
  return await install({ ...options, chosen, source, license }, async (path, target) => {
    const file = byPath.get(path) as HubFile;
    const earlier = await checkFile(target, file).catch(() => null); // an earlier try may have it
    if (earlier?.isRight === true) return earlier.sha256;
    const onBytes = (bytes: number) => options.onProgress(path, bytes, file.bytes);
    return await download(hub, repository, file, target, onBytes);
  });
}

/** Throws `HubError`. */
export async function installFromFolder(
  folder: string,
  options: InstallOptions,
): Promise<Installed> {
  const files = await filesIn(folder);
  const chosen = selectFiles(files, options.task, options.dtype);
  const source = `the folder ${basename(folder)}`;
  return await install({ ...options, chosen, source, license: null }, async (path, target) => {
    const from = join(folder, path);
    const { size } = await stat(from);
    await makeFolder(dirname(target));
    await copyFile(from, target);
    options.onProgress(path, size, size);
    return await sha256OfFile(target);
  });
}

/** `fetchFile` puts a file to its target and returns its sha256. */
async function install(
  options: InstallOptions & {
    readonly chosen: readonly ChosenFile[];
    readonly source: string;
    readonly license: string | null;
  },
  fetchFile: (path: string, target: string) => Promise<string>,
): Promise<Installed> {
  const { models, name, chosen, source, license } = options;
  const home = join(models, name);
  await makeFolder(home);
  const versions = (await readdir(home)).map(parseModelVersion).filter((each) => each !== null);
  const version = Math.max(0, ...versions) + 1;
  const partial = join(home, `.${version}.partial`);
  await makeFolder(partial);
  const files: Record<string, { path: string; sha256: string }> = {};
  for (const { role, path } of chosen) {
    files[role] = { path, sha256: await fetchFile(path, join(partial, path)) };
  }
  await keepOnly(
    chosen.map(({ path }) => path),
    partial,
  );
  const manifest = { ...settingsFor(options), files, license, source };
  for (const earlier of versions) {
    if (await isSame(join(home, String(earlier)), manifest)) {
      await rm(partial, { recursive: true }); // a second copy of what is there
      return { folder: join(home, String(earlier)), version: earlier, isNew: false };
    }
  }
  await writeFile(join(partial, 'model.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  const folder = join(home, String(version));
  await rename(partial, folder).catch((error: NodeJS.ErrnoException) => {
    throw new HubError(`${folder} has come into being meanwhile (${error.code}): pull again`, {
      cause: error,
    });
  });
  return { folder, version, isNew: true };
}

/** An image takes minutes on a CPU. */
const IMAGE_RUN_S = 3600;

/** What a manifest says beside its files. */
function settingsFor({ title, task, dtype }: InstallOptions) {
  if (task !== DIFFUSION.task) return { pipeline: 'transformers', options: { task, dtype } };
  // Their files do not say that they were distilled to one step without guidance.
  const isTurbo = /turbo/i.test(title);
  return {
    pipeline: 'diffusion',
    options: isTurbo ? { num_inference_steps: 1, guidance_scale: 0 } : {},
    resources: { threads: availableParallelism() },
    timeouts: { run_s: IMAGE_RUN_S },
  };
}

/** Removes what earlier tries for other purposes have left. */
async function keepOnly(chosen: readonly string[], folder: string): Promise<void> {
  for (const path of await filesIn(folder)) {
    if (!chosen.includes(path)) await rm(join(folder, path));
  }
}

/** The paths of all files in a folder and below it. */
export async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

/** Whether a version has the same files for the same purpose. */
async function isSame(folder: string, { options, files }: { options: object; files: object }) {
  try {
    const text = await readSmallFile(join(folder, 'model.json'), MAX_MANIFEST_BYTES);
    const there = JSON.parse(text ?? '{}') as { options?: object; files?: object };
    return JSON.stringify([there.options, there.files]) === JSON.stringify([options, files]);
  } catch {
    return false; // a version that is damaged, or somebody else's
  }
}
