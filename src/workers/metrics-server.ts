/* /metrics, /healthz and /readyz of a worker. */
import { createServer, type Server } from 'node:http';
import { messageOf } from '../contract/failure.ts';
import type { Logger } from '../telemetry/logger.ts';
import { SetupError } from './run-worker.ts';

const PORTS_TO_TRY = 20;
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface MetricsServerOptions {
  readonly host: string;
  readonly port: number;
  /** Whether somebody chose the port. Then no other port is taken. */
  readonly isPortFixed: boolean;
  /** The text of /metrics. */
  readonly metrics: () => Promise<string>;
  readonly isReady: () => boolean;
  readonly logger: Logger;
}

/** Listens, on the next free port when the default is taken. Throws `SetupError`. */
export async function startMetricsServer(
  options: MetricsServerOptions,
): Promise<{ close(): Promise<void> }> {
  const { host, port, isPortFixed, logger } = options;
  const last = isPortFixed || port === 0 ? port : port + PORTS_TO_TRY;
  for (let candidate = port; ; candidate++) {
    try {
      const server = await listen(options, candidate);
      const address = server.address() as { port: number };
      logger.info({ url: `http://${host}:${address.port}/metrics` }, 'metrics');
      return { close: async () => await close(server) };
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      if (isTaken && candidate < last) continue;
      throw new SetupError(
        `BUZZER_METRICS_PORT=${candidate}: ${messageOf(error)}. Choose another port`,
        { cause: error },
      );
    }
  }
}

async function listen({ host, metrics, isReady, logger }: MetricsServerOptions, port: number) {
  const server = createServer((request, response) => {
    const answer = (status: number, body: string, type = 'application/json') => {
      response.writeHead(status, {
        'Content-Type': type,
        'Content-Length': Buffer.byteLength(body),
      });
      response.end(request.method === 'HEAD' ? undefined : body);
    };
    switch (request.url) {
      case '/metrics':
        void metrics().then(
          (text) => answer(200, text, METRICS_TYPE),
          (error: unknown) => answer(500, JSON.stringify({ error: messageOf(error) })),
        );
        break;
      case '/healthz':
        answer(200, '{"status":"ok"}');
        break;
      case '/readyz':
        answer(
          isReady() ? 200 : 503,
          JSON.stringify({ status: isReady() ? 'ready' : 'not_ready' }),
        );
        break;
      default:
        answer(404, '{"error":"there are /metrics, /healthz and /readyz"}');
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
  server.on('error', (error) => logger.warn({ err: error }, 'the metrics server has a problem'));
  return server;
}

async function close(server: Server): Promise<void> {
  const closed = new Promise((resolve) => {
    server.close(resolve);
  });
  server.closeAllConnections();
  await closed;
}
