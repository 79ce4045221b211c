/*
 * Reads one line with an SVTR network (arXiv:2205.00159) and CTC decoding (Graves et al., 2006):
 * the best class of each step, repetitions merged, blanks dropped.
 */
import { type Session, Tensor } from '../../model/session.ts';
import { type Box, resizeRegion, type RgbImage, toPlanes } from '../shared/image.ts';

/** The character of each class; class 0 is the blank. */
export type Alphabet = readonly string[];

const NORMAL = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] };
const LINE_HEIGHT = 48;
const MIN_WIDTH = 320; // shorter lines are padded, as in training
const WIDTH_STEP = 8; // the network's horizontal stride
const MAX_WIDTH = 3200; // about 250 characters: beyond it memory grows and nothing is gained

/** The text of one line of a page, and the mean probability of its characters (0 to 1). */
export async function recognizeLine(
  session: Session,
  alphabet: Alphabet,
  page: RgbImage,
  box: Box,
): Promise<{ text: string; confidence: number }> {
  const aspect = (box.right - box.left) / (box.bottom - box.top);
  const width = Math.min(MAX_WIDTH, Math.max(1, Math.round(LINE_HEIGHT * aspect)));
  const paddedWidth = Math.max(MIN_WIDTH, Math.ceil(width / WIDTH_STEP) * WIDTH_STEP);
  const line = await resizeRegion(page, { width, height: LINE_HEIGHT }, box);
  const planes = new Float32Array(3 * LINE_HEIGHT * paddedWidth);
  toPlanes(line, NORMAL, planes, paddedWidth);
  const output = await session.runOne(
    new Tensor('float32', planes, [1, 3, LINE_HEIGHT, paddedWidth]),
  );
  const [, steps = 0, classes = 0] = output.dims;
  return decode(output.data as Float32Array, steps, classes, alphabet);
}

function decode(
  probabilities: Float32Array,
  steps: number,
  classes: number,
  alphabet: Alphabet,
): { text: string; confidence: number } {
  let text = '';
  let sum = 0;
  let characters = 0;
  let previous = 0;
  for (let step = 0; step < steps; step++) {
    const offset = step * classes;
    let best = 0;
    let bestProbability = probabilities[offset] ?? 0;
    for (let index = 1; index < classes; index++) {
      const probability = probabilities[offset + index] ?? 0;
      if (probability > bestProbability) {
        best = index;
        bestProbability = probability;
      }
    }
    if (best !== 0 && best !== previous) {
      text += alphabet[best] ?? '';
      sum += bestProbability;
      characters += 1;
    }
    previous = best;
  }
  const confidence = characters === 0 ? 0 : Math.round((sum / characters) * 1000) / 1000;
  return { text, confidence: Math.min(1, confidence) };
}
