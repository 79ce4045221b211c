/*
 * What a model process may not do, where the operating system lets us say so: reach a network, use or
 * gain capabilities, write to the models. It decodes what strangers send with libraries in C++.
 *
 * Linux only, with util-linux: `unshare` gives it a network namespace with nothing in it and a mount
 * namespace in which the models are read-only; `setpriv` takes its capabilities. Who is not root
 * needs user namespaces for the first two.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { type Command, findOnPath, tieToParent } from './tied-process.ts';

const run = promisify(execFile);
const PROBE_TIMEOUT_MS = 5000;

/** What a model process is prevented from doing. Each was tried before and works on this machine. */
export interface Confinement {
  readonly hasNoNetwork: boolean;
  /** Folders that it cannot write to. */
  readonly readOnly: readonly string[];
  readonly hasNoCapabilities: boolean;
  /** True when we are not root and therefore need a user namespace. */
  readonly inUserNamespace: boolean;
}

const NOTHING: Confinement = {
  hasNoNetwork: false,
  readOnly: [],
  hasNoCapabilities: false,
  inUserNamespace: false,
};

/** Finds out how much of it this machine allows. */
export async function probeConfinement(
  folders: readonly string[],
  searchPath: string,
): Promise<Confinement> {
  if (process.platform !== 'linux') return NOTHING;
  const inUserNamespace = process.getuid?.() !== 0;
  const works = async (wanted: Partial<Confinement>): Promise<boolean> => {
    const node = { file: 'true', args: [] };
    const { file, args } = confined(node, searchPath, { ...NOTHING, inUserNamespace, ...wanted });
    if (file === node.file) return false; // the tools for it are missing
    return await run(file, [...args], { timeout: PROBE_TIMEOUT_MS }).then(
      () => true,
      () => false,
    );
  };
  const hasNoNetwork = await works({ hasNoNetwork: true });
  const canMount = folders.length > 0 && (await works({ readOnly: folders }));
  const hasNoCapabilities =
    findOnPath('setpriv', searchPath) !== null && (await works({ hasNoCapabilities: true }));
  const readOnly = canMount ? folders : [];
  return { hasNoNetwork, readOnly, hasNoCapabilities, inUserNamespace };
}

/** What this machine does not allow, for the log; null when it allows everything. */
export function missingIn({ hasNoNetwork, readOnly, hasNoCapabilities }: Confinement) {
  const missing = [
    ...(hasNoNetwork ? [] : ['reach the network']),
    ...(readOnly.length > 0 ? [] : ['write to the models']),
    ...(hasNoCapabilities ? [] : ['use the capabilities of its user']),
  ];
  return missing.length === 0 ? null : missing.join(', ');
}

/** Mounts each folder of "$@" up to `--` read-only over itself, and becomes what follows. */
const MOUNTS = `
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 1; fi
  shift
done
shift
exec "$@"`;

const DROP_CAPABILITIES = ['--no-new-privs', '--bounding-set=-all', '--inh-caps=-all'];

/** The command, confined, and tied to our life (`tieToParent`). It keeps its process id. */
export function confined(
  command: Command,
  searchPath: string,
  confinement: Confinement = NOTHING,
): Command {
  const { hasNoNetwork, readOnly, hasNoCapabilities, inUserNamespace } = confinement;
  // Last: entering a namespace would undo the tie.
  const inner = tieToParent(command, searchPath, hasNoCapabilities ? DROP_CAPABILITIES : []);
  const mounted =
    readOnly.length === 0
      ? inner
      : { file: 'sh', args: ['-c', MOUNTS, 'sh', ...readOnly, '--', inner.file, ...inner.args] };
  const unshare = findOnPath('unshare', searchPath);
  if (unshare === null || (!hasNoNetwork && readOnly.length === 0)) return inner;
  const namespaces = [
    ...(inUserNamespace ? ['--user', '--map-root-user'] : []),
    ...(hasNoNetwork ? ['--net'] : []),
    ...(readOnly.length === 0 ? [] : ['--mount']),
  ];
  return { file: unshare, args: [...namespaces, '--', mounted.file, ...mounted.args] };
}
