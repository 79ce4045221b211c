/* The keys that the API knows: those of the keys file, read again when it has changed. */
import { stat } from 'node:fs/promises';
import type { Logger } from '../telemetry/logger.ts';
import { type ApiKey, hasExpired, keyOf } from './api-key.ts';
import { readKeys } from './keys-file.ts';

/** How late it may be noticed that a key was revoked. A new one is looked for when it is shown. */
const LOOK_EVERY_MS = 500;

export class KnownKeys {
  readonly #path: string;
  readonly #logger: Logger;
  #keys: ReadonlyMap<string, ApiKey> = new Map();
  #version = '';
  /** The latest version that could not be used. */
  #broken = '';
  #lookedAtMs = 0;
  #looking: Promise<void> | null = null;
  readonly #watchers = new Set<{ readonly keyId: string; readonly onEnd: () => void }>();
  #timer: NodeJS.Timeout | null = null;

  private constructor(path: string, logger: Logger) {
    this.#path = path;
    this.#logger = logger;
  }

  /** Throws `KeysFileError`. */
  static async open(path: string, logger: Logger): Promise<KnownKeys> {
    const known = new KnownKeys(path, logger);
    await known.#read();
    return known;
  }

  get size(): number {
    return this.#keys.size;
  }

  /** The key of a token, also an expired one; null when there is none, or no longer. */
  async find(token: string): Promise<ApiKey | null> {
    await this.#lookWhenOlderThan(LOOK_EVERY_MS);
    const known = keyOf(token, this.#keys);
    if (known !== null) return known;
    await this.#lookWhenOlderThan(0); // it may have been made a moment ago
    return keyOf(token, this.#keys);
  }

  /**
   * Has `onEnd` called, at most half a second late, when a key has been revoked or has expired; what it
   * returns ends that. For answers that go on for a while.
   */
  watch(keyId: string, onEnd: () => void): () => void {
    const watcher = { keyId, onEnd };
    this.#watchers.add(watcher);
    this.#timer ??= setInterval(() => void this.#tellWatchers(), LOOK_EVERY_MS / 2).unref();
    return () => {
      this.#watchers.delete(watcher);
      if (this.#watchers.size > 0 || this.#timer === null) return;
      clearInterval(this.#timer);
      this.#timer = null;
    };
  }

  async #tellWatchers(): Promise<void> {
    await this.#lookWhenOlderThan(0);
    for (const watcher of this.#watchers) {
      const key = this.#keys.get(watcher.keyId);
      if (key !== undefined && !hasExpired(key)) continue;
      this.#watchers.delete(watcher);
      watcher.onEnd();
    }
  }

  async #lookWhenOlderThan(ageMs: number): Promise<void> {
    if (Date.now() - this.#lookedAtMs < ageMs) return;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    await this.#looking;
  }

  /** A file that has gone, or is broken, changes nothing: the keys that were known stay so. */
  async #look(): Promise<void> {
    let version = 'none';
    try {
      version = await this.#versionNow();
      if (version === this.#version) return;
      await this.#read();
      this.#logger.info({ keys: this.size }, 'the keys file has changed');
    } catch (error) {
      if (version === this.#broken) return; // it was said
      this.#broken = version;
      this.#logger.error({ err: error }, 'the keys file cannot be used: the keys of before stay');
    } finally {
      this.#lookedAtMs = Date.now();
    }
  }

  async #read(): Promise<void> {
    const version = await this.#versionNow().catch(() => '');
    const keys = await readKeys(this.#path);
    this.#keys = new Map(keys.map((key) => [key.id, key]));
    this.#version = version;
    this.#lookedAtMs = Date.now();
  }

  async #versionNow(): Promise<string> {
    const { mtimeMs, size, ino } = await stat(this.#path);
    return `${ino}.${size}.${mtimeMs}`;
  }
}
