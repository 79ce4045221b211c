/*
 * Where our own requests may go: https to public addresses, and what the operator has opened with
 * BUZZER_OUTBOUND_ALLOW. A URL is checked when it is accepted (`checkUrl`, without asking DNS), and
 * every address it leads to when it is used (`permits`). Only the second check is final.
 */
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

const MAX_URL_CHARS = 2048;
/** What a message says where the operator can allow more. */
const WAY_OUT = '(BUZZER_OUTBOUND_ALLOW opens more)';
const HTTPS_PORTS: readonly number[] = [443, 8443];

/** Azure's wire server answers on an address of the public range (ipaddr.js: `unicast`). */
const METADATA_ADDRESSES: readonly string[] = ['168.63.129.16'];
/** What the registry of IPv6 calls global unicast; the rest is unassigned or special. */
const GLOBAL_UNICAST: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3];

/** A host or a range of addresses that the operator has opened. */
export interface AllowEntry {
  /** True: plain http is allowed too. */
  readonly allowsHttp: boolean;
  /** Null: any port. */
  readonly port: number | null;
  /** A name, or `*.` and a name for everything below it; or a range of addresses. */
  readonly target:
    | { readonly kind: 'name'; readonly name: string }
    | { readonly kind: 'range'; readonly range: readonly [Address, number] };
}

/** A URL that no request of ours may be sent to; the message is for whoever gave it. */
export class ForbiddenUrlError extends Error {
  override readonly name = 'ForbiddenUrlError';
}

export class AddressPolicy {
  readonly #entries: readonly AllowEntry[];

  constructor(entries: readonly AllowEntry[]) {
    this.#entries = entries;
  }

  /** Whether a request may be sent to a URL, as far as that can be decided without DNS. */
  checkUrl(text: string): URL {
    const url = parseUrl(text);
    if (url.href.length > MAX_URL_CHARS) {
      throw new ForbiddenUrlError(`the URL, encoded, is longer than ${MAX_URL_CHARS} characters`);
    }
    if (url.username !== '' || url.password !== '') {
      throw new ForbiddenUrlError('the URL must not hold a user name or a password');
    }
    const literal = addressLiteral(url.hostname);
    if (literal !== null) {
      if (this.permits(literal, url)) return url;
      throw new ForbiddenUrlError(
        `${url.host} is not an address that requests may go to ${WAY_OUT}`,
      );
    }
    const opened = this.#entries.filter(
      (entry) => opensPort(entry, url) && (entry.target.kind === 'range' || isNamed(entry, url)),
    );
    if (url.protocol !== 'https:' && !opened.some(({ allowsHttp }) => allowsHttp)) {
      throw new ForbiddenUrlError(`the URL must begin with https:// ${WAY_OUT}`);
    }
    if (opened.length === 0 && !HTTPS_PORTS.includes(portOf(url))) {
      throw new ForbiddenUrlError(
        `requests may go to the ports ${HTTPS_PORTS.join(' and ')}, not to ${portOf(url)} ${WAY_OUT}`,
      );
    }
    return url;
  }

  /**
   * The same for a URL that a client sends now. Plain http is more often a mistake than a name that
   * leads into the loopback range, so only names of this machine are taken for such.
   */
  checkGivenUrl(text: string): URL {
    const url = this.checkUrl(text);
    const isPlainName = url.protocol === 'http:' && addressLiteral(url.hostname) === null;
    const isOpened = this.#entries.some(
      (entry) =>
        entry.allowsHttp &&
        opensPort(entry, url) &&
        (isNamed(entry, url) || mayLeadInto(entry, url)),
    );
    if (!isPlainName || isOpened) return url;
    throw new ForbiddenUrlError(`the URL must begin with https:// ${WAY_OUT}`);
  }

  /** Whether a request to `url` may be sent to this address, which its host has resolved to. */
  permits(address: string, url: URL): boolean {
    const parsed = toAddress(address);
    if (parsed === null) return false;
    const isOpened = this.#entries.some(
      (entry) =>
        opensPort(entry, url) &&
        (entry.allowsHttp || url.protocol === 'https:') &&
        (isNamed(entry, url) || isInRange(entry, parsed)),
    );
    if (isOpened) return true;
    return url.protocol === 'https:' && HTTPS_PORTS.includes(portOf(url)) && isPublic(parsed);
  }
}

/**
 * Reads `BUZZER_OUTBOUND_ALLOW`: entries separated by commas, each `[http://]<host or CIDR>[:<port>]`.
 * Throws an Error that names the entry it cannot read.
 */
export function parseOutboundAllow(text: string): readonly AllowEntry[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map(parseEntry);
}

const ENTRY = /^(?:(https?):\/\/)?(?:\[([^\]]+)\]|([^[\]]+?))(\/\d{1,3})?(?::(\d{1,5}))?$/i;
const HOST_NAME = /^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;

function parseEntry(text: string): AllowEntry {
  // An IPv6 address outside brackets: its colons do not separate a port.
  const bare = text.replace(/^https?:\/\//i, '').split('/')[0] ?? '';
  const bracketed = isIP(bare) === 6 ? text.replace(bare, `[${bare}]`) : text;
  const [, scheme, v6, other, bits, port] = ENTRY.exec(bracketed) ?? [];
  const host = v6 ?? other?.toLowerCase();
  if (host === undefined || Number(port ?? 0) > 65_535) throw unreadable(text);
  const common = {
    allowsHttp: scheme?.toLowerCase() === 'http',
    port: port === undefined ? null : Number(port),
  };
  const address = isIP(host) === 0 ? null : ipaddr.parse(host);
  if (address === null) {
    if (bits !== undefined || !isHostName(host)) throw unreadable(text);
    return { ...common, target: { kind: 'name', name: host } };
  }
  const width = address.kind() === 'ipv4' ? 32 : 128;
  const length = bits === undefined ? width : Number(bits.slice(1));
  if (length > width) throw unreadable(text);
  return { ...common, target: { kind: 'range', range: [address, length] } };
}

/** The host as URLs write it: `0x7f.1` is an address there and never appears as a name. */
function isHostName(host: string): boolean {
  const name = host.replace(/^\*\./, '');
  if (!HOST_NAME.test(host) || !URL.canParse(`http://${name}`)) return false;
  return new URL(`http://${name}`).hostname === name;
}

const unreadable = (text: string): Error =>
  new Error(`${text} is not a host or a range such as hooks.internal, 10.0.0.0/8 or http://[::1]`);

function parseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw new ForbiddenUrlError('is not a URL', { cause: error });
  }
  if (!/^https?:$/.test(url.protocol)) {
    throw new ForbiddenUrlError('the URL must begin with https://');
  }
  return url;
}

/** The address, when a URL's host is one: `new URL` has brought every spelling into one form. */
export function addressLiteral(hostname: string): string | null {
  const text = hostname.replace(/^\[|\]$/g, '');
  return isIP(text) === 0 ? null : text;
}

/** Scheme, host and port of a URL, because the rest may be a secret. A full stop at the end of the host is dropped. */
export function originOf(url: string): string {
  if (!URL.canParse(url)) return url; // it is refused before anything is sent
  const { protocol, hostname, port } = new URL(url);
  return `${protocol}//${hostname.replace(/\.$/, '')}${port === '' ? '' : `:${port}`}`;
}

const portOf = (url: URL): number =>
  url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);

const opensPort = ({ port }: AllowEntry, url: URL): boolean =>
  port === null || port === portOf(url);

function isNamed({ target }: AllowEntry, url: URL): boolean {
  if (target.kind !== 'name') return false;
  const hostname = url.hostname.replace(/\.$/, '');
  return target.name.startsWith('*.')
    ? hostname.endsWith(target.name.slice(1))
    : hostname === target.name;
}

/** Whether a name may lead into a range. Only names of this machine are taken to lead into the loopback range. */
function mayLeadInto({ target }: AllowEntry, url: URL): boolean {
  if (target.kind !== 'range') return false;
  const isLoopback = target.range[0].range() === 'loopback';
  return !isLoopback || LOOPBACK_NAME.test(url.hostname);
}

const LOOPBACK_NAME = /^(?:[^.]+\.)*localhost\.?$/i;

function isInRange({ target }: AllowEntry, address: Address): boolean {
  if (target.kind !== 'range') return false;
  const [start, length] = target.range;
  return start.kind() === address.kind() && address.match(start, length);
}

/** Null when the text is no address. IPv4 inside IPv6 (mapped, or behind NAT64) counts as that IPv4 address. */
function toAddress(text: string): Address | null {
  if (isIP(text) === 0) return null;
  const address = ipaddr.process(text);
  if (address.kind() === 'ipv4') return address;
  const v6 = address as ipaddr.IPv6;
  const isTranslated = v6.match(ipaddr.IPv6.parse('64:ff9b::'), 96); // RFC 6052
  return isTranslated ? new ipaddr.IPv4(v6.toByteArray().slice(12)) : v6;
}

function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast') return false;
  if (METADATA_ADDRESSES.includes(address.toString())) return false;
  return address.kind() === 'ipv4' || address.match(...GLOBAL_UNICAST);
}
