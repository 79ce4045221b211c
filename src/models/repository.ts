/*
 * The model repository: folders of `<name>/<version>/model.json`, or of a lone .onnx file that the
 * tensor pipeline serves with defaults. It finds, validates and documents models; it loads none.
 * What cannot be served is kept with its reasons, and looked at again when it changes.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../contract/failure.ts';
import { formatModelRef, type ModelRef } from '../contract/model.ts';
import type { PipelineSchema } from '../pipelines/index.ts';
import { readLayout } from './layout.ts';
import {
  findFile,
  ManifestError,
  readVersionFolder,
  referencesIn,
  type VersionContent,
} from './manifest.ts';

/** One version of a model, ready to be validated against, documented and loaded. */
export interface ModelVersion extends VersionContent {
  readonly isWhole: true;
  readonly ref: ModelRef;
  readonly folder: string;
  /** Differs when any of its files has changed. */
  readonly fingerprint: string;
}

/**
 * Differs when a version computes something else than before, and is the same on every host when the manifest has
 * the hashes of all files.
 */
export function identityOf({ manifest, fingerprint }: ModelVersion): string {
  const { pipeline, files, options } = manifest;
  const hashes = Object.entries(files).map(([role, { sha256 }]) => [role, sha256]);
  const isPinned = hashes.every(([, sha256]) => sha256 !== undefined);
  return JSON.stringify([pipeline, options, isPinned ? hashes : fingerprint]);
}

/** A version that cannot be served as it is. */
export interface BrokenVersion {
  readonly isWhole: false;
  readonly ref: ModelRef;
  readonly folder: string;
  readonly fingerprint: string;
  /** Each a place and a reason. */
  readonly problems: readonly string[];
  /** The files that its manifest names, as far as it could be read. */
  readonly references: readonly string[];
}

type Version = ModelVersion | BrokenVersion;

const isBroken = (version: Version): version is BrokenVersion => !version.isWhole;
const isWhole = (version: Version): version is ModelVersion => version.isWhole;
const REFRESH_INTERVAL_MS = 2000;
/** A worker polls a queue for each version, and clients read lists of all of them. */
const MAX_VERSIONS = 500;

export class ModelRepository {
  readonly #folders: readonly string[];
  /** By name, the newest first. */
  #versions: ReadonlyMap<string, readonly Version[]> = new Map();
  #problems: readonly string[] = [];

  private constructor(folders: readonly string[]) {
    this.#folders = folders;
  }

  /** Reads every folder that exists. */
  static async open(folders: readonly string[]): Promise<ModelRepository> {
    const repository = new ModelRepository(folders);
    await repository.refresh();
    return repository;
  }

  /** Every version that can be served, by name and newest first. */
  all(): readonly ModelVersion[] {
    return this.#everything().filter(isWhole);
  }

  /** Of each model the version that is meant when none is said. */
  defaults(): readonly ModelVersion[] {
    return this.all().filter((version) => this.find(version.ref.name, null) === version);
  }

  /** Every version that cannot. */
  broken(): readonly BrokenVersion[] {
    return this.#everything().filter(isBroken);
  }

  /** Problems beside the versions: folders that cannot be read, models in the wrong place. */
  problems(): readonly string[] {
    return this.#problems;
  }

  /** A problem as clients see it: its paths begin in the folder of models. */
  withoutFolders(problem: string): string {
    return this.#folders.reduce((text, folder) => text.replaceAll(`${folder}/`, ''), problem);
  }

  /** The versions of one model that can be served, newest first; empty when there is none. */
  versionsOf(name: string): readonly ModelVersion[] {
    return (this.#versions.get(name) ?? []).filter(isWhole);
  }

  /** One version, the highest when `version` is null; undefined when there is none. */
  find(name: string, version: number | null): ModelVersion | undefined {
    const versions = this.versionsOf(name);
    return version === null ? versions[0] : versions.find((each) => each.ref.version === version);
  }

  /** What a version tells while it works; null when it tells nothing, or is not served. */
  streaming({ name, version }: ModelRef): PipelineSchema['streaming'] {
    return this.find(name, version)?.schema.streaming ?? null;
  }

  /** The same among those that cannot be served. */
  findBroken(name: string, version: number | null): BrokenVersion | undefined {
    const versions = (this.#versions.get(name) ?? []).filter(isBroken);
    return version === null ? versions[0] : versions.find((each) => each.ref.version === version);
  }

  /** Looks again; true when anything has changed. */
  async refresh(): Promise<boolean> {
    const before = this.#everything();
    const known = new Map(before.map((version) => [version.folder, version]));
    const found: Version[] = [];
    const problems: string[] = [];
    const unread: string[] = [];
    const layout = await readLayout(this.#folders, (path, error) => {
      problems.push(`${path} cannot be read: ${messageOf(error)}`);
      unread.push(path);
    });
    problems.push(...layout.problems);
    const folders = new Map<string, string>(); // of what was found, by label
    let room = MAX_VERSIONS - layout.versions.filter(({ folder }) => known.has(folder)).length;
    for (const { ref, folder } of layout.versions) {
      const label = formatModelRef(ref);
      const twin = folders.get(label);
      const latest = known.get(folder);
      if (twin !== undefined) problems.push(`${folder}: ${label} is already in ${twin}`);
      else if (latest === undefined && room-- <= 0) continue;
      else {
        folders.set(label, folder);
        found.push(await readVersion(ref, folder, latest));
      }
    }
    if (room < 0) {
      problems.push(`${-room} versions are not served: ${MAX_VERSIONS} are the most that can be`);
    }
    // A folder that cannot be read for a moment is not gone: its versions stay as they were known.
    const isUnread = (version: Version) =>
      unread.some((path) => `${version.folder}/`.startsWith(`${path}/`));
    const isFound = new Set(found);
    found.push(...before.filter((version) => isUnread(version) && !isFound.has(version)));
    const hadProblems = this.#problems.join();
    this.#problems = problems;
    this.#versions = byName(found);
    const after = this.#everything();
    const wasThere = new Set(before);
    const isOther = after.length !== before.length || after.some((each) => !wasThere.has(each));
    return isOther || problems.join() !== hadProblems;
  }

  /** Looks again every two seconds and calls `onChange` after a change. Returns a function that stops it. */
  watch(onChange: () => void): () => void {
    let timer: NodeJS.Timeout | undefined;
    let isStopped = false;
    const look = async () => {
      const hasChanged = await this.refresh();
      if (isStopped) return;
      if (hasChanged) onChange();
      timer = setTimeout(() => void look(), REFRESH_INTERVAL_MS);
    };
    timer = setTimeout(() => void look(), REFRESH_INTERVAL_MS);
    return () => {
      isStopped = true;
      clearTimeout(timer);
    };
  }

  #everything(): readonly Version[] {
    const all = [...this.#versions.values()].flat();
    return all.toSorted((a, b) => a.ref.name.localeCompare(b.ref.name));
  }
}

/** Reads a version, unless nothing of it has changed since `latest`. Never throws. */
async function readVersion(
  ref: ModelRef,
  folder: string,
  latest: Version | undefined,
): Promise<Version> {
  // Taken before the content is read, so that a change in between is seen the next time.
  const own = await ownFacts(folder).catch(() => null);
  if (own === null && latest !== undefined) return latest; // it cannot be read for a moment
  if (latest !== undefined) {
    const named = await namedFacts(folder, referencesOf(latest));
    if (latest.fingerprint === `${own}|${named}`) return latest;
  }
  try {
    const content = await readVersionFolder(folder);
    const named = await namedFacts(folder, referencesIn(content.manifest));
    return { isWhole: true, ref, folder, fingerprint: `${own}|${named}`, ...content };
  } catch (error) {
    const isKnown = error instanceof ManifestError;
    const problems = isKnown ? error.problems : [messageOf(error)];
    const references = isKnown ? error.references : [];
    const fingerprint = `${own}|${await namedFacts(folder, references)}`;
    return { isWhole: false, ref, folder, fingerprint, problems, references };
  }
}

const referencesOf = (version: Version): readonly string[] =>
  version.isWhole ? referencesIn(version.manifest) : version.references;

async function ownFacts(folder: string): Promise<string> {
  const names: string[] = await readdir(folder);
  const facts = names.toSorted().map(async (name) => {
    return await stat(join(folder, name)).then(factsOf, () => `${name} ?`);
  });
  return (await Promise.all(facts)).join();
}

/** Size and time of the files that the manifest names; they may lie in other folders. */
async function namedFacts(folder: string, references: readonly string[]): Promise<string> {
  const facts = references.map(async (reference) => {
    return await findFile(folder, reference).then(
      ({ path, bytes, modifiedMs }) => `${path} ${bytes} ${modifiedMs}`,
      () => `${reference} ?`,
    );
  });
  return (await Promise.all(facts)).join();
}

const factsOf = ({ ino, size, mtimeMs }: { ino: number; size: number; mtimeMs: number }): string =>
  `${ino} ${size} ${mtimeMs}`;

function byName(versions: readonly Version[]): ReadonlyMap<string, readonly Version[]> {
  const found = new Map<string, Version[]>();
  for (const version of versions.toSorted((a, b) => b.ref.version - a.ref.version)) {
    found.set(version.ref.name, [...(found.get(version.ref.name) ?? []), version]);
  }
  return found;
}
