/*
 * The graphs of a model. The network that makes the steps stays in memory. The others are used once in a run: when
 * there is little memory for all of them, each is loaded for its use and released behind it.
 */
import { stat } from 'node:fs/promises';
import { openSession, type Session } from '../../onnx/session.ts';
import type { PipelineSettings } from '../definition.ts';
import { UNET } from './layout.ts';

/** Weights in memory, as ONNX Runtime has arranged them, and what a run needs beside them. */
const MEMORY_PER_WEIGHT = 2;
const MIB = 1024 ** 2;

export class Networks {
  readonly #settings: PipelineSettings;
  readonly #isTight: boolean;
  readonly #open = new Map<string, Session>();

  private constructor(settings: PipelineSettings, isTight: boolean) {
    this.#settings = settings;
    this.#isTight = isTight;
  }

  /** Loads those that stay; throws when a file or the device cannot be used. */
  static async open(settings: PipelineSettings): Promise<Networks> {
    const { manifest, files, graphs } = settings;
    const sizes = Object.values(files).map(async (path) => (await stat(path)).size);
    const weights = (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
    const isTight = MEMORY_PER_WEIGHT * weights > manifest.resources.memory_mb * MIB;
    const networks = new Networks(settings, isTight);
    for (const path of Object.keys(graphs)) {
      const session = await networks.#load(path);
      if (!networks.#stays(path))
        await session.close(); // now it is known that it can be loaded
      else networks.#open.set(path, session);
    }
    return networks;
  }

  /** The paths of the graphs that are in memory. */
  get loaded(): readonly string[] {
    return [...this.#open.keys()];
  }

  /** Bytes of the graph and its weights would not tell: how large its file is. */
  async sizeOf(path: string): Promise<number> {
    return (await stat(this.#settings.files[path] ?? '')).size;
  }

  /** Gives `work` a graph. */
  async use<T>(path: string, work: (session: Session) => Promise<T>): Promise<T> {
    const session = this.#open.get(path) ?? (await this.#load(path));
    this.#open.set(path, session);
    try {
      return await work(session);
    } finally {
      if (!this.#stays(path)) {
        this.#open.delete(path);
        await session.close();
      }
    }
  }

  #stays(path: string): boolean {
    return path === UNET || !this.#isTight;
  }

  async #load(path: string): Promise<Session> {
    const { files, graphs, device, manifest } = this.#settings;
    const { threads } = manifest.resources;
    return await openSession(files[path] ?? '', { device, threads, graph: graphs[path] });
  }
}
