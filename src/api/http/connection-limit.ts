import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Logger } from '../../telemetry/logger.ts';

/** Descriptors that are kept for files and for connections to Temporal. */
const RESERVED_DESCRIPTORS = 256;
/** The usual limit, for systems that do not tell theirs. */
const USUAL_DESCRIPTORS = 1024;
const SAY_EVERY_MS = 10_000;

/**
 * Leaves enough of the process's file descriptors for the work itself: without a limit, connections that
 * ask for nothing could take all of them. Those that are idle make room for new ones.
 */
export function limitConnections(server: Server, log: Logger): void {
  const descriptors = descriptorLimit();
  server.maxConnections = Math.max(descriptors / 2, descriptors - RESERVED_DESCRIPTORS);
  let saidAtMs = 0;
  server.on('drop', () => {
    server.closeIdleConnections();
    if (Date.now() - saidAtMs < SAY_EVERY_MS) return;
    saidAtMs = Date.now();
    const limits = { connections: server.maxConnections, descriptors };
    log.warn(limits, 'too many connections: new ones are refused (raise the limit of open files)');
  });
}

/** The soft limit of this process, which Node raises to the hard one when it starts. */
function descriptorLimit(): number {
  try {
    const [, limit] =
      /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return limit === undefined ? USUAL_DESCRIPTORS : Number(limit);
  } catch {
    return USUAL_DESCRIPTORS; // not on Linux
  }
}
