/* `npm run keys -- create | list | revoke`: the API keys in BUZZER_KEYS_FILE. */
import { parseArgs } from 'node:util';
import { type ApiKey, newApiKey, type Scope, SCOPES, TENANT } from '../access/api-key.ts';
import { changeKeys, KeysFileError, readKeys } from '../access/keys-file.ts';
import { runCommand, UsageError } from './command.ts';
import { ConfigError, readConfig } from '../config.ts';
import { DAY_MS, parseDurationMs } from '../contract/duration.ts';

const USAGE = `npm run keys -- create --tenant <name> [--scopes ${SCOPES.join(',')}]
                       [--expires 90d] [--description <text>]
npm run keys -- list
npm run keys -- revoke <id>

The keys are in the file that BUZZER_KEYS_FILE (or --file) names; the API reads it again by itself.
Without --scopes a key may predict and read. Without --expires it is valid until it is revoked.`;

const MAX_LIFETIME_MS = 3650 * DAY_MS;

await runCommand(main, USAGE, [KeysFileError, ConfigError]);

async function main(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      tenant: { type: 'string' },
      scopes: { type: 'string', default: 'predict,read' },
      expires: { type: 'string' },
      description: { type: 'string', default: '' },
      file: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [command, ...rest] = positionals;
  if (command === undefined || command === 'help' || values.help) {
    console.log(USAGE);
    return;
  }
  const path = values.file ?? readConfig().keysFile;
  if (path === null) {
    throw new UsageError('which file? Set BUZZER_KEYS_FILE, here and for the API, or give --file');
  }
  if (command === 'create' && rest.length === 0) return await create(path, values);
  if (command === 'list' && rest.length === 0) return await list(path);
  if (command === 'revoke' && rest.length === 1) return await revoke(path, rest[0] ?? '');
  throw new UsageError(`what is "${positionals.join(' ')}"?`);
}

async function create(
  path: string,
  given: {
    readonly tenant?: string | undefined;
    readonly scopes: string;
    readonly expires?: string | undefined;
    readonly description: string;
  },
): Promise<void> {
  const tenant = given.tenant ?? '';
  if (!TENANT.test(tenant)) {
    throw new UsageError('--tenant must be 1 to 63 of a-z 0-9 -, no - at either end');
  }
  if (!/^[^\p{Cc}]{0,200}$/u.test(given.description)) {
    throw new UsageError('--description must be one line of at most 200 characters');
  }
  const { key, token } = newApiKey({
    tenant,
    scopes: scopesIn(given.scopes),
    description: given.description,
    expires_at: expiryIn(given.expires),
  });
  await changeKeys(path, (keys) => [...keys, key]);
  console.error(`Key ${key.id} of ${tenant} (${key.scopes.join(', ')}), ${untilWhen(key)}.`);
  console.error('This is the only time it is shown:');
  console.log(token);
}

async function list(path: string): Promise<void> {
  const keys = await readKeys(path);
  if (keys.length === 0) console.error(`${path} has no keys.`);
  for (const key of keys) {
    const { id, tenant, scopes, description } = key;
    console.log(
      `${id}  ${tenant}  ${scopes.join(',')}  ${untilWhen(key)}  ${description}`.trimEnd(),
    );
  }
}

async function revoke(path: string, id: string): Promise<void> {
  await changeKeys(path, (keys) => {
    if (keys.some((key) => key.id === id)) return keys.filter((key) => key.id !== id);
    throw new KeysFileError(`there is no key ${id} in ${path}`);
  });
  console.error(`Key ${id} is revoked: the API refuses it from now on.`);
}

function scopesIn(text: string): Scope[] {
  const given = new Set(text.split(',').map((scope) => scope.trim()));
  const scopes = SCOPES.filter((scope) => given.has(scope));
  if (scopes.length > 0 && scopes.length === given.size) return scopes;
  throw new UsageError(`--scopes must be some of ${SCOPES.join(',')}`);
}

/** Null: never. */
function expiryIn(text: string | undefined): string | null {
  if (text === undefined) return null;
  const lifetimeMs = parseDurationMs(text);
  if (lifetimeMs === null || lifetimeMs <= 0 || lifetimeMs > MAX_LIFETIME_MS) {
    throw new UsageError('--expires must be a duration such as 12h or 90d, at most 3650d');
  }
  return new Date(Date.now() + lifetimeMs).toISOString();
}

function untilWhen({ expires_at: at }: ApiKey): string {
  if (at === null) return 'does not expire';
  return Date.parse(at) > Date.now() ? `expires ${at}` : `EXPIRED ${at}`;
}
