/* What must be true before `npm start` starts anything. */
import { chmod, lstat, open, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { constants } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { messageOf } from '../contract/failure.ts';
import { makeFolder } from '../disk/make-folder.ts';
import { readSmallFile } from '../disk/small-file.ts';

const MAX_PID_BYTES = 100;
/** A link in the place of a file of ours leads to a file of somebody else. */
const WRITE_NO_LINK =
  constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;

/** Something that a person has to change first; the message says what. */
export class LaunchError extends Error {
  override readonly name = 'LaunchError';
}

/** Says which port is taken and how to choose another, before anything is started. */
export async function checkPorts(config: Config): Promise<void> {
  const wanted: [setting: string, what: string, host: string, port: number][] = [
    ['BUZZER_PORT', 'the API', config.host, config.port],
  ];
  if (!config.temporal.isExternal) {
    wanted.push(
      ['BUZZER_TEMPORAL_PORT', 'the Temporal server', '127.0.0.1', config.temporalPort],
      ['BUZZER_UI_PORT', 'the Temporal Web UI', '127.0.0.1', config.uiPort],
    );
  }
  for (const [index, [setting, , , port]] of wanted.entries()) {
    if (port === 0) throw new LaunchError(`${setting}=0: npm start needs a port of its own.`);
    const twin = wanted.slice(0, index).find(([, , , other]) => other === port);
    if (twin !== undefined) {
      throw new LaunchError(`${twin[0]} and ${setting} are both ${port}: choose two ports.`);
    }
  }
  for (const [setting, what, host, port] of wanted) {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const isTaken = error.code === 'EADDRINUSE';
        const problem = isTaken ? 'is in use' : `cannot be used (${error.code})`;
        const advice = `choose another with ${setting}=<port>`;
        reject(new LaunchError(`Port ${port} of ${host}, for ${what}, ${problem}: ${advice}.`));
      });
      server.listen(port, host, resolve);
    });
    await new Promise((resolve) => {
      server.close(resolve);
    });
  }
}

/**
 * Makes the data folder, and checks that it can hold our files. They are for
 * their owner only, also those that an earlier version has left readable for others.
 */
export async function checkDataFolder(dataDir: string): Promise<void> {
  const probe = join(dataDir, `probe.${process.pid}`);
  try {
    await makeFolder(dataDir);
    await writeFile(probe, 'ok', { flush: true });
    await rm(probe);
  } catch (error) {
    throw new LaunchError(
      `BUZZER_DATA_DIR=${dataDir} cannot hold data (${messageOf(error)}): ` +
        'choose a folder on a disk that this user can write to.',
    );
  }
  for (const name of await readdir(dataDir)) {
    const path = join(dataDir, name);
    const found = await lstat(path);
    if (found.isSymbolicLink()) continue; // its target is not ours
    const isFolder = name === 'payloads' || name === 'workers';
    if (!isFolder && !name.startsWith('temporal.db')) continue;
    if (isFolder ? !found.isDirectory() : !found.isFile()) {
      const what = isFolder ? 'a folder' : 'a file';
      throw new LaunchError(`${path} is in the way: it must be ${what}. Remove it.`);
    }
    await chmod(path, isFolder ? 0o700 : 0o600);
  }
}

/** Locks the folder: two servers on one database would destroy it. Returns a function that unlocks it. */
export async function lockDataFolder(dataDir: string): Promise<() => Promise<void>> {
  const path = join(dataDir, 'launcher.pid');
  const text = await readSmallFile(path, MAX_PID_BYTES).catch((error: unknown) => {
    throw new LaunchError(`${path} ${messageOf(error)}: remove it.`);
  });
  const holder = Number(text ?? '0');
  if (holder > 0 && holder !== process.pid && (await isLauncher(holder))) {
    const advice = 'stop it, or set BUZZER_DATA_DIR to another folder';
    throw new LaunchError(`npm start (process ${holder}) is using ${dataDir}: ${advice}.`);
  }
  const file = await open(path, WRITE_NO_LINK, 0o600).catch((error: unknown) => {
    throw new LaunchError(`${path} cannot be written (${messageOf(error)}): remove it.`);
  });
  await file.writeFile(String(process.pid));
  await file.close();
  return async () => await rm(path, { force: true });
}

/** The process with that number may be another program, because numbers are used again after a crash. */
async function isLauncher(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes('start.js');
}
