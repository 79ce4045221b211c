import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/**
 * A command that dies with the process that spawns it, also when that one is killed. On Linux
 * through util-linux's setpriv (the kernel sends the signal); elsewhere it comes back unchanged,
 * and a Node process should exit on `disconnect` instead.
 */
export function tieToParent(command: Command, searchPath: string): Command {
  const setpriv = process.platform === 'linux' ? findOnPath('setpriv', searchPath) : null;
  if (setpriv === null) return command;
  return { file: setpriv, args: ['--pdeathsig', 'KILL', command.file, ...command.args] };
}

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
