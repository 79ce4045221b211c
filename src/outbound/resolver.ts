/*
 * Names to addresses: the hosts file, then DNS. The C library's lookup blocks one of four threads,
 * for half a minute when a name server is silent, and behind it everybody else's names and files; so
 * it is asked only for names of one word, which no stranger's name server answers for: localhost,
 * and what search domains make of them.
 */
import { lookup, Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';

const HOSTS_FILE = '/etc/hosts';
const TIMEOUT_MS = 2000;
const TRIES = 2;
/** DNS errors that mean: the name is not known, or there is no DNS here. */
const UNKNOWN_TO_DNS: readonly string[] = ['ENOTFOUND', 'ENODATA', 'ECONNREFUSED'];

/** All addresses of a host name; rejects when it has none, or with the signal's reason. */
export type ResolveAddresses = (
  hostname: string,
  signal: AbortSignal,
) => Promise<readonly string[]>;

export const resolveAddresses: ResolveAddresses = async (hostname, signal) => {
  signal.throwIfAborted();
  const name = hostname.replace(/\.$/, '').toLowerCase();
  const known = await fromHostsFile(name);
  if (known.length > 0) return known;
  if (name === 'localhost') return await fromSystem(name);
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
  const cancel = () => resolver.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    signal.throwIfAborted();
    const found = answers.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
    if (found.length > 0) return found;
    const codes = answers.map((each) =>
      each.status === 'rejected' ? String((each.reason as NodeJS.ErrnoException).code) : '',
    );
    const isUnknown = codes.every((code) => UNKNOWN_TO_DNS.includes(code));
    if (isUnknown && !name.includes('.')) return await fromSystem(name);
    throw new Error(`DNS has no address of ${name}: ${codes.join(', ')}`);
  } finally {
    signal.removeEventListener('abort', cancel);
  }
};

/** Reads lines of an address and its names (hosts(5)); a missing file has none. */
async function fromHostsFile(name: string): Promise<readonly string[]> {
  const text = await readFile(HOSTS_FILE, 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const [address = '', ...names] = line.replace(/#.*/, '').toLowerCase().trim().split(/\s+/);
    return isIP(address) !== 0 && names.includes(name) ? [address] : [];
  });
}

async function fromSystem(name: string): Promise<readonly string[]> {
  return (await lookup(name, { all: true })).map(({ address }) => address);
}
