/* Small PDFs for tests, as ISO 32000-1 has them: sound, encrypted and hostile ones. */
import { createHash } from 'node:crypto';
import { deflateSync } from 'node:zlib';

export interface TestPage {
  /** In points; A4 unless given. */
  readonly size?: readonly [width: number, height: number];
  /** The content stream. `/F` is Helvetica, `/X` and `/P` are what `objects` has. */
  readonly content: string | Buffer;
  /** Further entries of the page's dictionary. */
  readonly more?: string;
}

export interface TestPdf {
  readonly pages: readonly TestPage[];
  /** Streams that contents may use, as `[name, dictionary, data]`: XObjects whose name begins with X, patterns with P. */
  readonly objects?: readonly (readonly [name: string, dictionary: string, data: Buffer])[];
  /** The number of pages that the page tree claims to have. */
  readonly claimed?: number;
  /** Encrypts it with RC4 of 40 bits (revision 2). */
  readonly password?: string;
}

const A4 = [595, 842] as const;
const ID = Buffer.from('0123456789abcdef');

/** Some lines of text, from the top down. */
export const textPage = (...lines: readonly string[]): TestPage => ({
  content: `BT /F 12 Tf 72 760 Td 18 TL ${lines.map((line) => `(${line}) Tj T*`).join(' ')} ET`,
});

export function makePdf({ pages, objects = [], claimed, password }: TestPdf): Buffer {
  const cipher = password === undefined ? null : encryption(password);
  const bodies: (string | readonly [dictionary: string, data: Buffer])[] = [];
  const [catalog, tree, font, encrypt] = [1, 2, 3, 4];
  const firstObject = encrypt + 1;
  const firstPage = firstObject + objects.length;
  const named = (kind: string) =>
    objects
      .map(([name], index) => [name, `/${name} ${firstObject + index} 0 R`] as const)
      .filter(([name]) => name.startsWith(kind))
      .map(([, reference]) => reference)
      .join('');
  const resources = `<</Font<</F ${font} 0 R>>/XObject<<${named('X')}>>/Pattern<<${named('P')}>>>>`;
  const kids = pages.map((_page, index) => `${firstPage + 2 * index} 0 R`).join(' ');
  bodies.push(`<</Type/Catalog/Pages ${tree} 0 R>>`);
  bodies.push(`<</Type/Pages/Kids[${kids}]/Count ${claimed ?? pages.length}>>`);
  bodies.push('<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>');
  bodies.push(cipher?.dictionary ?? 'null');
  for (const [, dictionary, data] of objects) bodies.push([dictionary, data]);
  for (const [index, { size = A4, content, more = '' }] of pages.entries()) {
    const stream = firstPage + 2 * index + 1;
    bodies.push(
      `<</Type/Page/Parent ${tree} 0 R/MediaBox[0 0 ${size.join(' ')}]/Resources ${resources}/Contents ${stream} 0 R${more}>>`,
    );
    bodies.push(['', Buffer.from(content)]);
  }
  const pieces: Buffer[] = [Buffer.from('%PDF-1.7\n')];
  const offsets: number[] = [];
  const write = (piece: string | Buffer) => pieces.push(Buffer.from(piece));
  const length = () => pieces.reduce((sum, piece) => sum + piece.length, 0);
  for (const [index, body] of bodies.entries()) {
    const number = index + 1;
    offsets.push(length());
    write(`${number} 0 obj\n`);
    if (typeof body === 'string') write(body);
    else writeStream(body, cipher?.keyOf(number) ?? null, write);
    write('\nendobj\n');
  }
  const start = length();
  write(`xref\n0 ${bodies.length + 1}\n0000000000 65535 f \n`);
  for (const offset of offsets) write(`${String(offset).padStart(10, '0')} 00000 n \n`);
  const security = cipher === null ? '' : `/Encrypt ${encrypt} 0 R/ID[${hex(ID)}${hex(ID)}]`;
  write(`trailer<</Size ${bodies.length + 1}/Root ${catalog} 0 R${security}>>\nstartxref\n`);
  write(`${start}\n%%EOF\n`);
  return Buffer.concat(pieces);
}

function writeStream(
  [dictionary, data]: readonly [string, Buffer],
  key: Buffer | null,
  write: (piece: string | Buffer) => void,
): void {
  const packed = deflateSync(data);
  const bytes = key === null ? packed : rc4(key, packed);
  write(`<<${dictionary}/Filter/FlateDecode/Length ${bytes.length}>>stream\n`);
  write(bytes);
  write('\nendstream');
}

const hex = (bytes: Buffer): string => `<${bytes.toString('hex')}>`;
const md5 = (...parts: readonly Buffer[]): Buffer =>
  createHash('md5').update(Buffer.concat(parts)).digest();
/** ISO 32000-1, algorithm 2, step a. */
const PADDING = Buffer.from(
  '28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a',
  'hex',
);
const padded = (password: string): Buffer =>
  Buffer.concat([Buffer.from(password), PADDING]).subarray(0, 32);

/** ISO 32000-1, section 7.6.3: algorithms 1 to 4. */
function encryption(password: string) {
  const owner = rc4(md5(padded(password)).subarray(0, 5), padded(password));
  const permissions = Buffer.from('fcffffff', 'hex');
  const key = md5(padded(password), owner, permissions, ID).subarray(0, 5);
  const user = rc4(key, PADDING);
  return {
    dictionary: `<</Filter/Standard/V 1/R 2/O ${hex(owner)}/U ${hex(user)}/P -4>>`,
    keyOf: (number: number) =>
      md5(key, Buffer.from([number & 255, (number >> 8) & 255, 0, 0, 0])).subarray(0, 10),
  };
}

function rc4(key: Buffer, data: Buffer): Buffer {
  const state = Array.from({ length: 256 }, (_, index) => index);
  const swap = (a: number, b: number) => {
    [state[a], state[b]] = [state[b] ?? 0, state[a] ?? 0];
  };
  for (let at = 0, other = 0; at < 256; at++) {
    other = (other + (state[at] ?? 0) + (key[at % key.length] ?? 0)) & 255;
    swap(at, other);
  }
  let [i, j] = [0, 0];
  return Buffer.from(
    data.map((byte) => {
      i = (i + 1) & 255;
      j = (j + (state[i] ?? 0)) & 255;
      swap(i, j);
      return byte ^ (state[((state[i] ?? 0) + (state[j] ?? 0)) & 255] ?? 0);
    }),
  );
}
