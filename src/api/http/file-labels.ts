/* What clients call their files, as we keep it. */

export const MAX_FILENAME_CHARS = 255;
// oxlint-disable-next-line no-control-regex -- these are the ones that are meant
export const PRINTABLE = /^[^\u0000-\u001f\u007f]*$/;
// oxlint-disable-next-line no-control-regex -- the others
const UNPRINTABLE = /[\u0000-\u001f\u007f]/g;
const MEDIA_TYPE = /^[\w.+-]{1,100}\/[\w.+-]{1,100}$/;

export const plainName = (filename: string): string =>
  filename.replaceAll(UNPRINTABLE, '').slice(0, MAX_FILENAME_CHARS) || 'file';

/** A media type without its parameters; that of any bytes for what is none. */
export function plainMediaType(text: string): string {
  const [type = ''] = text.split(';');
  return MEDIA_TYPE.test(type.trim()) ? type.trim().toLowerCase() : 'application/octet-stream';
}
