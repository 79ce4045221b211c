/* The keys that the API knows: those of the keys file, read again when it has changed. */
import { stat } from 'node:fs/promises';
import type { Logger } from '../telemetry/logger.ts';
import { type ApiKey, hasExpired, keyOf } from './api-key.ts';
import { readKeys } from './keys-file.ts';

/** How late a revoked key may be noticed. For an unknown key the file is read at once. */
const LOOK_EVERY_MS = 500;

export class KnownKeys {
  readonly #path: string;
  readonly #logger: Logger;
  #keys: ReadonlyMap<string, ApiKey> = new Map();
  #version = '';
  /** The latest version of the file that could not be used. */
  #broken = '';
  #lookedAtMs = -Infinity;
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
    await this.#lookWhenOlderThan(0); // the key may have been made a moment ago
    return keyOf(token, this.#keys);
  }

  /**
   * Calls `onEnd`, at most half a second late, when a key has been revoked or has expired. The function that it
   * returns stops the watching. For answers that go on for a while.
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
    if (performance.now() - this.#lookedAtMs < ageMs) return; // a clock that cannot be set back
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    await this.#looking;
  }

  /** If the file is gone or broken, the keys that were known stay valid. */
  async #look(): Promise<void> {
    let version = 'none';
    try {
      version = await this.#versionNow();
      if (version === this.#version || version === this.#broken) return;
      await this.#read();
      this.#logger.info({ keys: this.size }, 'the keys file has changed');
    } catch (error) {
      if (version === this.#broken) return; // the file is gone: logged already
      this.#broken = version;
      this.#logger.error({ err: error }, 'the keys file cannot be used: the keys of before stay');
    } finally {
      this.#lookedAtMs = performance.now();
    }
  }

  async #read(): Promise<void> {
    const version = await this.#versionNow().catch(() => '');
    const keys = await readKeys(this.#path);
    this.#keys = new Map(keys.map((key) => [key.id, key]));
    this.#version = version;
    this.#broken = '';
    this.#lookedAtMs = performance.now();
  }

  async #versionNow(): Promise<string> {
    const { mtimeMs, size, ino } = await stat(this.#path);
    return `${ino}.${size}.${mtimeMs}`;
  }
}
