export interface WavOptions {
  readonly rate: number;
  readonly channels?: number;
  /** 1: PCM, 3: floats, 6: A-law, 7: mu-law. */
  readonly tag?: number;
  /** Writes one sample; by default 16-bit PCM. */
  readonly write?: {
    readonly bytes: number;
    readonly set: (view: DataView, at: number, value: number) => void;
  };
  /** What the header says of the length of the data; by default the truth. */
  readonly size?: number;
  /** A chunk of another kind before the data. */
  readonly extra?: Uint8Array;
}

const INT16 = {
  bytes: 2,
  set: (view: DataView, at: number, value: number) =>
    view.setInt16(at, Math.round(value * 32_767), true),
};

/** A WAV file with these samples of -1 to 1, interleaved. */
export function wav(samples: readonly number[], options: WavOptions): Uint8Array {
  const { rate, channels = 1, tag = 1, write = INT16, extra = new Uint8Array() } = options;
  const padded = extra.length + (extra.length % 2);
  const before = 12 + 24 + (extra.length === 0 ? 0 : 8 + padded);
  const bytes = new Uint8Array(before + 8 + samples.length * write.bytes);
  const view = new DataView(bytes.buffer);
  const name = (at: number, text: string) => bytes.set(Buffer.from(text), at);
  name(0, 'RIFF');
  view.setUint32(4, bytes.length - 8, true);
  name(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, tag, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * channels * write.bytes, true);
  view.setUint16(32, channels * write.bytes, true);
  view.setUint16(34, write.bytes * 8, true);
  if (extra.length > 0) {
    name(36, 'LIST');
    view.setUint32(40, extra.length, true);
    bytes.set(extra, 44);
  }
  name(before, 'data');
  view.setUint32(before + 4, options.size ?? samples.length * write.bytes, true);
  for (const [index, value] of samples.entries()) {
    write.set(view, before + 8 + index * write.bytes, value);
  }
  return bytes;
}

const FLOAT32 = {
  bytes: 4,
  set: (view: DataView, at: number, value: number) => view.setFloat32(at, value, true),
};

/** What a WAV file begins with that has so many bytes of silence behind it: 3 MB a second. */
export const headOfSilence = (bytes: number): Buffer =>
  Buffer.from(wav([], { rate: 96_000, channels: 8, tag: 3, write: FLOAT32, size: bytes }));

/** A WAV file of silence with so many bytes of data. */
export const silence = (bytes: number): Buffer =>
  Buffer.concat([headOfSilence(bytes), Buffer.alloc(bytes)]);
