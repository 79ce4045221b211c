/** Samples a second at which networks listen: every recording is brought to this rate. */
export const SAMPLE_RATE = 16_000;

/** A piece of decoded audio. */
export interface AudioPiece {
  /** Samples of -1 to 1, an array for each channel. */
  readonly channels: readonly Float32Array[];
  /** Samples a second. */
  readonly rate: number;
  /** How much of the file has been used up, 0 to 1. */
  readonly fraction: number;
}
