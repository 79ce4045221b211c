/* The files of a folder in the layout of diffusers, for a version whose model.json does not name them. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Manifest } from '../contract/model.ts';
import { DIFFUSION } from '../pipelines/index.ts';

/** Whether a folder with these entries is one. */
export const isDiffusersFolder = (entries: readonly string[]): boolean =>
  entries.includes(DIFFUSION.index);

/** What it must have, and what it has of what it may have, by their paths. */
export async function diffusersFiles(folder: string): Promise<Manifest['files']> {
  const entries = new Map<string, readonly string[]>();
  for (const part of new Set(DIFFUSION.files.map((path) => dirname(path)))) {
    entries.set(part, await readdir(join(folder, part)).catch(() => []));
  }
  const entriesIn = (path: string): readonly string[] => entries.get(dirname(path)) ?? [];
  const there = DIFFUSION.files.filter((path) => entriesIn(path).includes(basename(path)));
  const weights = DIFFUSION.graphs.flatMap((graph) =>
    DIFFUSION.weightsOf(
      graph,
      entriesIn(graph).map((name) => `${dirname(graph)}/${name}`),
    ),
  );
  const paths = new Set([...DIFFUSION.needed, ...there, ...weights]);
  return Object.fromEntries([...paths].map((path) => [path, { path }]));
}
