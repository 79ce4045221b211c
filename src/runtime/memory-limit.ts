/*
 * How much memory a model process takes, and the most that it may. Where we may make cgroups, the
 * kernel keeps the limit and kills at once; the resident set is watched everywhere that /proc is.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

const PAGE_BYTES = 4096;
const MIB = 1024 ** 2;
/** The kernel counts more than the resident set (page tables, file cache), so its limit is a little higher. */
const CGROUP_MARGIN = 1.1;

/** Resident memory of a process; null where that cannot be read. */
export function readRssBytes(pid: number): number | null {
  try {
    const [, resident] = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ');
    return Number(resident) * PAGE_BYTES;
  } catch {
    return null;
  }
}

/** A cgroup of one process. Remove it when the process is gone. */
export interface MemoryCgroup {
  /** Whether the kernel has killed the process for its memory. */
  wasKilled(): boolean;
  remove(): void;
}

let count = 0;

/** Puts a process that was just started into a cgroup of its own; null where that is not allowed. */
export function limitMemory(pid: number, limitMb: number): MemoryCgroup | null {
  const bytes = String(Math.round(limitMb * MIB * CGROUP_MARGIN));
  for (const parent of divisibleCgroups()) {
    const folder = join(parent, `buzzer-${process.pid}-${(count += 1)}`);
    try {
      mkdirSync(folder);
    } catch {
      continue; // we may not make groups here
    }
    try {
      const isVersion2 = existsSync(join(folder, 'memory.max'));
      write(join(folder, isVersion2 ? 'memory.max' : 'memory.limit_in_bytes'), bytes);
      write(join(folder, 'cgroup.procs'), String(pid));
      const events = join(folder, isVersion2 ? 'memory.events' : 'memory.oom_control');
      return { wasKilled: () => killsIn(events) > 0, remove: () => removeFolder(folder) };
    } catch {
      removeFolder(folder);
    }
  }
  return null;
}

/** Removes the cgroups of workers that no longer live: a worker that is killed leaves its own. */
export function removeDeadCgroups(): void {
  for (const parent of divisibleCgroups()) {
    for (const name of foldersIn(parent)) {
      const [, pid] = /^buzzer-(\d+)-\d+$/.exec(name) ?? [];
      if (pid !== undefined && readRssBytes(Number(pid)) === null) removeFolder(join(parent, name));
    }
  }
}

/**
 * Where a cgroup of ours may go: below our own; in version 2 beside it, for a group that holds
 * processes cannot be divided. To root every folder is writable, to others only what was delegated
 * to them: root stays below its own.
 */
function divisibleCgroups(): readonly string[] {
  const lines = readLines('/proc/self/cgroup').map((line) => line.split(':'));
  const version1 = lines.find(([, names = '']) => names.split(',').includes('memory'))?.[2];
  if (version1 !== undefined) return [join('/sys/fs/cgroup/memory', version1)];
  const version2 = lines.find(([id, names]) => id === '0' && names === '')?.[2];
  if (version2 === undefined) return [];
  const own = join('/sys/fs/cgroup', version2);
  return process.getuid?.() === 0 ? [own] : [own, dirname(own)];
}

const killsIn = (file: string): number =>
  Number(
    readLines(file)
      .find((line) => line.startsWith('oom_kill '))
      ?.split(' ')[1] ?? 0,
  );

/** Without O_CREAT: a file that the kernel does not have is an error here, not a file. */
function write(file: string, text: string): void {
  const descriptor = openSync(file, 'r+');
  try {
    writeSync(descriptor, text);
  } finally {
    closeSync(descriptor);
  }
}

function removeFolder(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // busy for a moment, or gone already: the next worker tries again
  }
}

function foldersIn(parent: string): string[] {
  try {
    return readdirSync(parent);
  } catch {
    return [];
  }
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n');
  } catch {
    return [];
  }
}
