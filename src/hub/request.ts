/* Requests to a hub: tried again when that may help, and with the token only for the hub itself. */
import { setTimeout as pause } from 'node:timers/promises';
import { messageOf } from '../contract/failure.ts';
import { HubError } from './hub-error.ts';

export interface Hub {
  /** Such as https://huggingface.co, without a slash at its end. */
  readonly endpoint: string;
  readonly token: string | null;
  /** How long the hub may say nothing. */
  readonly maxSilenceMs?: number;
}

const TRIES = 5;
const FIRST_PAUSE_MS = 200;
const MAX_REDIRECTS = 5;
const MAX_SILENCE_MS = 30_000;

/** Calls `work` again, with growing pauses, unless it throws a `HubError`. */
export async function persistently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (error instanceof HubError) throw error;
      if (tries >= TRIES) {
        throw new HubError(`${messageOf(error)} (tried ${TRIES} times)`, { cause: error });
      }
      await pause(FIRST_PAUSE_MS * 2 ** (tries - 1));
    }
  }
}

/** One request, with its redirects; throws `HubError` where another try cannot help. */
export async function request(
  hub: Hub,
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  return await persistently(async () => await requestOnce(hub, url, headers));
}

/** The same without another try. The body ends with an error when the hub falls silent. */
export async function requestOnce(
  hub: Hub,
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<Response> {
  let target = new URL(url);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    // The files themselves lie with others, who must not learn the token.
    const isHub = target.origin === new URL(hub.endpoint).origin;
    const own = isHub && hub.token !== null ? { Authorization: `Bearer ${hub.token}` } : {};
    const silence = new Silence(hub.maxSilenceMs ?? MAX_SILENCE_MS);
    const response = await fetch(target, {
      headers: { ...headers, ...own, 'User-Agent': 'Buzzer', 'Accept-Encoding': 'identity' },
      redirect: 'manual',
      signal: silence.signal,
    });
    const location = response.headers.get('Location');
    if (response.status < 300 || response.status >= 400 || location === null) {
      refuse(response, target, hub);
      return silence.watch(response);
    }
    silence.end();
    await response.body?.cancel();
    target = new URL(location, target);
    if (!/^https?:$/.test(target.protocol)) break;
  }
  throw new HubError(`${url} leads from one place to another without end`);
}

function refuse({ status, statusText }: Response, url: URL, hub: Hub): void {
  if (status < 300) return;
  const what = `${url.origin}${url.pathname} answers ${status} ${statusText}`.trimEnd();
  if (status === 401 || status === 403) {
    const advice =
      hub.token === null
        ? 'set HF_TOKEN to a token that may read it'
        : 'the token in HF_TOKEN may not read it; a gated model must be asked for on its page first';
    throw new HubError(`${what}: ${advice}`);
  }
  if (status === 404) throw new HubError(`${what}: check the names of repository and revision`);
  if (status === 416 || status === 429 || status >= 500) throw new Error(what);
  throw new HubError(what);
}

/** Ends a request when nothing has come for too long. */
class Silence {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(ms: number) {
    const error = new Error(`the hub has sent nothing for ${ms / 1000} s`);
    this.#timer = setTimeout(() => this.#controller.abort(error), ms);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  /** The same response; each chunk of its body breaks the silence. */
  watch(response: Response): Response {
    const { body, status, headers } = response;
    if (body === null) {
      this.end();
      return response;
    }
    const heard = new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => {
        this.#timer.refresh();
        controller.enqueue(chunk);
      },
      flush: () => this.end(),
    });
    return new Response(body.pipeThrough(heard), { status, headers });
  }
}
