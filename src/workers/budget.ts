import { availableParallelism, totalmem } from 'node:os';
import { formatModelRef } from '../contract/model.ts';
import type { ModelVersion } from '../models/repository.ts';

const MIB = 1024 ** 2;

export interface MachineLimits {
  readonly cores: number;
  readonly memoryMb: number;
}

/** The cores and memory that this process may use: those of its container, or of the machine. */
export function machineLimits(): MachineLimits {
  const constrained = process.constrainedMemory();
  const bytes = constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  return { cores: availableParallelism(), memoryMb: Math.floor(bytes / MIB) };
}

/**
 * Says in one line which resources of the models exceed those of the machine; null when none do.
 * Threads are compared version by version, for not all are busy at once; memory together, for a
 * process keeps what it has.
 */
export function overBudget(
  versions: readonly ModelVersion[],
  { cores, memoryMb }: MachineLimits,
): string | null {
  const problems: string[] = [];
  let wantedMb = 0;
  for (const { ref, manifest } of versions) {
    const { threads, replicas, memory_mb: each } = manifest.resources;
    wantedMb += replicas * each;
    if (threads * replicas > cores) {
      const product = `${replicas} replicas × ${threads} threads`;
      problems.push(`${formatModelRef(ref)} wants ${product} on ${cores} cores`);
    }
  }
  if (wantedMb > memoryMb) {
    problems.push(`all models together may take ${wantedMb} MB of the ${memoryMb} MB there are`);
  }
  return problems.length === 0 ? null : problems.join('; ');
}

/** Measured with a backlog of 10,000: 1.9 GB with 7,680 of them, 1.4 GB with 2,500. */
const CACHED_WORKFLOW_MB = 0.5;
/** The share of the machine's memory. It is small because every process of the service may run there. */
const CACHE_SHARE = 1 / 32;
const LEAST_CACHED = 500;
/** With so many, an orchestration worker stays below a gigabyte. */
const MOST_CACHED = 1500;

/**
 * How many workflows an orchestration worker keeps in memory. Any other is replayed from its history when
 * it goes on, which costs more than the workflow task itself.
 */
export const cachedWorkflows = ({ memoryMb }: Pick<MachineLimits, 'memoryMb'>): number =>
  Math.min(
    MOST_CACHED,
    Math.max(LEAST_CACHED, Math.floor((memoryMb * CACHE_SHARE) / CACHED_WORKFLOW_MB)),
  );
