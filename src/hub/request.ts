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

/** An answer; its body ends with an error when the hub falls silent. */
export interface HubAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: AsyncIterable<Uint8Array>;
}

/** One request, with its redirects; throws `HubError` where another try cannot help. */
export async function request(hub: Hub, url: string): Promise<HubAnswer> {
  return await persistently(async () => await requestOnce(hub, url, {}));
}

/** The same without another try. */
export async function requestOnce(
  hub: Hub,
  url: string,
  headers: Readonly<Record<string, string>>,
): Promise<HubAnswer> {
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
    const isRedirect = response.status >= 300 && response.status < 400 && location !== null;
    if (response.status < 300) {
      const { status, headers: given } = response;
      return { status, headers: given, body: silence.watch(response.body ?? []) };
    }
    silence.end();
    await response.body?.cancel();
    if (!isRedirect) throw refusal(response, target, hub);
    target = new URL(location, target);
    if (!/^https?:$/.test(target.protocol)) break;
  }
  throw new HubError(`${url} leads from one place to another without end`);
}

/** A `HubError` unless another try may help. */
function refusal({ status, statusText }: Response, url: URL, hub: Hub): Error {
  const what = `${url.origin}${url.pathname} answers ${status} ${statusText}`.trimEnd();
  if (status === 401 || status === 403) {
    const advice =
      hub.token === null
        ? 'set HF_TOKEN to a token that may read it'
        : 'the token in HF_TOKEN may not read it; a gated model must be asked for on its page first';
    return new HubError(`${what}: ${advice}`);
  }
  if (status === 404) return new HubError(`${what}: check the names of repository and revision`);
  const mayPass = status === 416 || status === 429 || status >= 500;
  return mayPass ? new Error(what) : new HubError(what);
}

/** Ends a request when nothing has come for too long. */
class Silence {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(ms: number) {
    const error = new Error(`the hub has sent nothing for ${ms / 1000} s`);
    this.#timer = setTimeout(() => this.#controller.abort(error), ms).unref();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  /** The same body; each chunk of it breaks the silence. */
  async *watch(body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of body) {
        this.#timer.refresh();
        yield chunk;
      }
    } finally {
      this.end();
    }
  }
}
