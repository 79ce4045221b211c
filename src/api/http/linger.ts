/*
 * Reading on after a refusal. A connection that is closed while its client still sends is reset: the
 * client's kernel then throws our answer away before the client has read it.
 */
import type { Readable } from 'node:stream';

/** A client that sends nothing for so long has read its answer, or never will. */
const SILENCE_MS = 5000;
const LONGEST_MS = 60_000;

/**
 * Throws away what comes from `source`, until it ends, falls silent or has sent for a minute: then
 * calls `finish`, once.
 */
export function linger(source: Readable, finish: () => void): void {
  const end = () => {
    clearTimeout(silence);
    clearTimeout(longest);
    source.off('data', refresh).off('end', end).off('close', end);
    finish();
  };
  const silence = setTimeout(end, SILENCE_MS);
  const longest = setTimeout(end, LONGEST_MS);
  const refresh = () => void silence.refresh();
  source.on('data', refresh).once('end', end).once('close', end).resume();
}
