/*
 * The graphs of a model. The network that makes the steps stays in memory. The others are used once in a run: when
 * there is little memory for all of them, each is loaded for its use and released behind it.
 */
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { openSession, type Session } from '../../onnx/session.ts';
import type { PipelineSettings } from '../definition.ts';
import { UNET } from './layout.ts';

/** Weights in memory, as ONNX Runtime has arranged them, and what a run needs beside them. */
const MEMORY_PER_WEIGHT = 2;
const MIB = 1024 ** 2;

interface Loaded {
  readonly session: Session;
  /** How many use it now. */
  users: number;
}

/** The loaded graphs of one model, by their paths. They end with their process. */
export class Networks {
  readonly #settings: PipelineSettings;
  readonly #isTight: boolean;
  readonly #loaded = new Map<string, Loaded>();

  private constructor(settings: PipelineSettings, isTight: boolean) {
    this.#settings = settings;
    this.#isTight = isTight;
  }

  /** Loads those that stay; throws when a file or the device cannot be used. */
  static async open(settings: PipelineSettings): Promise<Networks> {
    const { manifest, files, graphs } = settings;
    const weights = await bytesOf(Object.values(files));
    const isTight = MEMORY_PER_WEIGHT * weights > manifest.resources.memory_mb * MIB;
    const networks = new Networks(settings, isTight);
    for (const path of Object.keys(graphs)) await networks.use(path, async () => {});
    return networks;
  }

  /** The paths of the graphs that are in memory. */
  get loaded(): readonly string[] {
    return [...this.#loaded.keys()];
  }

  /** How many bytes a graph and its weights have. */
  async sizeOf(path: string): Promise<number> {
    const folder = `${dirname(path)}/`;
    const paths = Object.entries(this.#settings.files).filter(([role]) => role.startsWith(folder));
    return await bytesOf(paths.map(([, each]) => each));
  }

  /** Gives `work` a graph. It stays loaded until the last of those that use it at the same time is done. */
  async use<T>(path: string, work: (session: Session) => Promise<T>): Promise<T> {
    const loaded = this.#loaded.get(path) ?? { session: await this.#load(path), users: 0 };
    this.#loaded.set(path, loaded);
    loaded.users += 1;
    try {
      return await work(loaded.session);
    } finally {
      loaded.users -= 1;
      if (this.#isTight && path !== UNET && loaded.users === 0) {
        this.#loaded.delete(path);
        await loaded.session.close();
      }
    }
  }

  async #load(path: string): Promise<Session> {
    const { files, graphs, device, manifest } = this.#settings;
    const { threads } = manifest.resources;
    return await openSession(files[path] ?? '', { device, threads, graph: graphs[path] });
  }
}

async function bytesOf(paths: readonly string[]): Promise<number> {
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}
