import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/**
 * A command that dies with the process that spawns it, also when that one is killed: through
 * util-linux's setpriv, where the kernel sends the signal. Without it the command comes back
 * unchanged: a Node process exits on `disconnect`, anything else needs `watchParent`. `options` are more
 * of setpriv's.
 */
export function tieToParent(
  command: Command,
  searchPath: string,
  options: readonly string[] = [],
): Command {
  const setpriv = process.platform === 'linux' ? findOnPath('setpriv', searchPath) : null;
  if (setpriv === null) return command;
  const args = ['--pdeathsig', 'KILL', ...options, command.file, ...command.args];
  return { file: setpriv, args };
}

/** Runs "$@", passes a TERM on, and kills it within a second of the death of process $0. */
const WATCHER = `
"$@" &
child=$!
trap 'kill -TERM $child' TERM INT
(while kill -0 $0 2>/dev/null; do sleep 1; done; kill -KILL $child) 2>/dev/null &
watcher=$!
wait $child; status=$?
while kill -0 $child 2>/dev/null; do wait $child; status=$?; done
kill $watcher 2>/dev/null
exit $status`;

/** Does what `tieToParent` does where there is no setpriv: a shell looks every second. */
export const watchParent = (command: Command): Command => ({
  file: 'sh',
  args: ['-c', WATCHER, String(process.pid), command.file, ...command.args],
});

/** The executable `name` on a PATH; null when there is none. */
export function findOnPath(name: string, searchPath: string): string | null {
  for (const folder of searchPath.split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not in this folder
    }
  }
  return null;
}
