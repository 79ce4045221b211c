import type { Request } from 'express';

/** The bytes that a request wants: all of them, a piece, or a piece that there is not. */
export type WantedBytes =
  | { readonly kind: 'all' }
  | { readonly kind: 'piece'; readonly offset: number; readonly bytes: number }
  | { readonly kind: 'none' };

/**
 * `Range: bytes=…` (RFC 9110, section 14.2) of something with `total` bytes. Several ranges, and what is no range, are
 * answered with everything, as the standard allows.
 */
export function wantedBytes(
  request: Pick<Request, 'get'>,
  total: number,
  etag: string,
): WantedBytes {
  const condition = request.get('If-Range');
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/i.exec(request.get('Range') ?? '') ?? [];
  if ((from === '' && to === '') || (condition !== undefined && condition !== etag)) {
    return { kind: 'all' };
  }
  const offset = from === '' ? Math.max(0, total - Number(to)) : Number(from);
  const last = from === '' || to === '' ? total - 1 : Math.min(Number(to), total - 1);
  if (offset > last) return { kind: 'none' };
  return { kind: 'piece', offset, bytes: last - offset + 1 };
}
