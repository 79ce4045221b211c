/* One attempt of a delivery: sign, POST, and tell what came of it. */
import type { DeliverResult, DeliveryAttempt, DeliveryEvent } from '../contract/webhook.ts';
import type { RecordSettings } from '../contract/prediction-record.ts';
import { originOf } from '../outbound/address-policy.ts';
import {
  type GuardedClient,
  type OutboundAnswer,
  OutboundError,
} from '../outbound/guarded-client.ts';
import type { Logger } from '../telemetry/logger.ts';
import { messageBody } from './message.ts';
import { signatureHeader } from './signature.ts';
import type { SigningSecrets } from './secrets.ts';

/** From the receiver's name to the end of its answer. */
const DEADLINE_MS = 15_000;
const MAX_ANSWER_BYTES = 2048;
/** Control characters, each of which would take six bytes in a memo. */
// oxlint-disable-next-line no-control-regex -- these are the ones that are meant
const UNPRINTABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g;

export interface SenderDependencies extends RecordSettings {
  readonly client: GuardedClient;
  readonly secrets: SigningSecrets;
  /** Whether what receivers answer is kept, for whoever looks into a delivery. */
  readonly keepsAnswers: boolean;
  /** `User-Agent`. */
  readonly agent: string;
  readonly logger: Logger;
}

export type SendWebhook = (
  message: { readonly tenant: string; readonly event: DeliveryEvent; readonly url: string },
  signal: AbortSignal,
) => Promise<Extract<DeliverResult, { outcome: 'sent' }>>;

const traceOf = ({ subject }: DeliveryEvent): string | undefined =>
  subject.type === 'ping' ? undefined : subject.accepted.traceparent;

/** Throws only what is our own fault, or the signal's reason. */
export function createSender(dependencies: SenderDependencies): SendWebhook {
  const { client, secrets, agent, logger, keepsAnswers } = dependencies;
  return async ({ tenant, event, url }, signal) => {
    const body = messageBody(event, dependencies);
    const valid = (await secrets.valid(tenant)).map(({ secret }) => secret);
    const startedAtMs = Date.now();
    const timestampS = Math.floor(startedAtMs / 1000);
    const trace = traceOf(event);
    const headers = {
      'Content-Type': 'application/json',
      'Accept-Encoding': 'identity',
      'User-Agent': agent,
      ...(trace === undefined ? {} : { traceparent: trace }),
      'webhook-id': event.id,
      'webhook-timestamp': String(timestampS),
      'webhook-signature': signatureHeader({ id: event.id, timestampS, body }, valid),
    };
    const outcome = await client
      .send(
        { url, method: 'POST', headers, body, deadlineMs: DEADLINE_MS, maxRedirects: 0, signal },
        readAnswer,
      )
      .catch((error: unknown) => {
        logger.debug({ err: error, event: event.id }, 'a webhook got no answer');
        return unanswered(error);
      });
    const at = new Date(startedAtMs).toISOString();
    const { retry_after_ms, ...what } = outcome;
    const duration_ms = Date.now() - startedAtMs;
    const kept = keepsAnswers ? what : withoutAnswer(what);
    const attempt = { at, origin: originOf(url), duration_ms, ...kept };
    return { outcome: 'sent', attempt, retry_after_ms };
  };
}

/** Only the status and the word for what went wrong. */
const withoutAnswer = ({ status, error }: Omit<Outcome, 'retry_after_ms'>) => ({
  status,
  error: error && { code: error.code, message: error.code },
  answer: null,
});

type Outcome = Pick<DeliveryAttempt, 'status' | 'error' | 'answer'> & {
  readonly retry_after_ms: number | null;
};

async function readAnswer({ status, headers, body }: OutboundAnswer): Promise<Outcome> {
  const answer = await firstText(body);
  const retry_after_ms = retryAfterMs(headers['retry-after']);
  if (status >= 200 && status < 300) return { status, error: null, answer, retry_after_ms };
  const { location } = headers;
  const isRedirect = status >= 300 && status < 400 && location !== undefined;
  const error = isRedirect
    ? ({ code: 'redirected', message: redirectMessage(status, location) } as const)
    : ({ code: 'refused', message: `the receiver answered ${status}` } as const);
  return { status, error, answer, retry_after_ms };
}

const redirectMessage = (status: number, location: string): string =>
  `the receiver answered ${status}, to ${location.slice(0, 200)}: redirects are not followed, register the final URL`;

function unanswered(error: unknown): Outcome {
  if (!(error instanceof OutboundError)) throw error;
  const { code, message } = error;
  return { status: null, error: { code, message }, answer: null, retry_after_ms: null };
}

/** The first 2 KB. One that breaks off, or takes too long, after its status keeps that status. */
async function firstText(body: OutboundAnswer['body']): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of body) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= MAX_ANSWER_BYTES) break;
    }
  } catch (error) {
    if (!(error instanceof OutboundError)) throw error;
  }
  const text = Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES).toString('utf8');
  return text.replaceAll(UNPRINTABLE, '.');
}

/** Seconds or an HTTP date (RFC 9110 §10.2.3); null when it is neither. */
function retryAfterMs(value: string | undefined): number | null {
  if (value === undefined) return null;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const atMs = Date.parse(value);
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - Date.now());
}
