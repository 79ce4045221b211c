/* API keys for tests: a keys file, and what a client of each key sends. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newApiKey, type Scope } from '../../src/access/api-key.ts';
import { changeKeys } from '../../src/access/keys-file.ts';

export class TestKeys {
  readonly path: string;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.path = join(folder, 'keys.json');
  }

  static async create(): Promise<TestKeys> {
    const keys = new TestKeys(await mkdtemp(join(tmpdir(), 'buzzer-keys-')));
    await changeKeys(keys.path, () => []);
    return keys;
  }

  /** Adds a key; answers with its id and the header that shows it. */
  async add(tenant: string, scopes: Scope[], expiresInMs: number | null = null) {
    const expires_at =
      expiresInMs === null ? null : new Date(Date.now() + expiresInMs).toISOString();
    const { key, token } = newApiKey({ tenant, scopes, description: '', expires_at });
    await changeKeys(this.path, (keys) => [...keys, key]);
    return { id: key.id, headers: { Authorization: `Bearer ${token}` } };
  }

  async revoke(id: string): Promise<void> {
    await changeKeys(this.path, (keys) => keys.filter((key) => key.id !== id));
  }

  async close(): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }
}
