import { randomBytes } from 'node:crypto';
import { timedId } from '../contract/ids.ts';

/** A new id; ids sort by time. */
export const newId = (
  prefix: 'pred' | 'batch' | 'file' | 'whe' | 'evt',
  nowMs: number = Date.now(),
): string => timedId(prefix, nowMs, randomBytes(10).toString('hex'));
