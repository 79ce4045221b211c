/*
 * Reads one line with an SVTR network (arXiv:2205.00159) and CTC decoding (Graves et al., 2006):
 * the best class of each step, repetitions merged, blanks dropped.
 */
import { type Session, Tensor } from '../../onnx/session.ts';
import type { RgbImage } from '../shared/image.ts';
import type { Line } from '../shared/geometry.ts';
import { cropLine } from './line-crop.ts';

/** The character of each class; class 0 is the blank, the last one the space. */
export type Alphabet = readonly string[];

const LINE_HEIGHT = 48;
const WIDTH_STEP = 8; // the network's horizontal stride; padding further costs time and reads worse
const MAX_WIDTH = 6400; // about 500 characters
const BLANK = 0;
/** The network prefers the blank to a space that it has seen: on receipts 0.8 % → 0.3 % errors. */
const SPACE_OVER_BLANK = 0.1;

export interface ReadText {
  readonly text: string;
  /** Mean probability of its characters, 0 to 1. */
  readonly confidence: number;
  readonly words: readonly ReadWord[];
}

/** A word and where it stands, in shares of its line's width. */
interface ReadWord {
  readonly text: string;
  readonly from: number;
  readonly to: number;
}

/** The text of one line of a page. */
export async function recognizeLine(
  session: Session,
  alphabet: Alphabet,
  page: RgbImage,
  line: Line,
): Promise<ReadText> {
  const wanted = Math.round((LINE_HEIGHT * line.width) / line.height);
  const width = Math.min(MAX_WIDTH, Math.max(WIDTH_STEP, wanted));
  const rowLength = Math.ceil(width / WIDTH_STEP) * WIDTH_STEP;
  const planes = cropLine(page, line, { width, height: LINE_HEIGHT, rowLength });
  const shape = [1, 3, LINE_HEIGHT, rowLength];
  const output = await session.runOne(new Tensor('float32', planes, shape));
  const [, steps = 0, classes = 0] = output.dims;
  const used = (steps * width) / rowLength; // the rest is padding
  return decode(output.data as Float32Array, { steps, used, classes }, alphabet);
}

function decode(
  probabilities: Float32Array,
  { steps, used, classes }: Record<'steps' | 'used' | 'classes', number>,
  alphabet: Alphabet,
): ReadText {
  const space = classes - 1;
  let text = '';
  const words = new WordPlaces(used);
  let sum = 0;
  let characters = 0;
  let previous = BLANK;
  for (let step = 0; step < steps; step++) {
    const offset = step * classes;
    let best = bestClass(probabilities, offset, classes);
    const spaceProbability = probabilities[offset + space] ?? 0;
    if (best === BLANK && spaceProbability > SPACE_OVER_BLANK) best = space;
    if (best !== BLANK && best !== previous) {
      text += alphabet[best] ?? '';
      words.push(best === space ? null : (alphabet[best] ?? ''), step);
      if (best !== space) {
        sum += probabilities[offset + best] ?? 0;
        characters += 1;
      }
    }
    previous = best;
  }
  const confidence = characters === 0 ? 0 : Math.round((sum / characters) * 1000) / 1000;
  return {
    text: text.replaceAll(/ {2,}/g, ' ').trim(),
    confidence: Math.min(1, confidence),
    words: words.all(),
  };
}

/** Words by the steps at which their characters were seen: a character reaches half a step to either side. */
class WordPlaces {
  readonly #used: number;
  readonly #words: { text: string; from: number; to: number }[] = [];
  #isOpen = false;

  /** `used`: how many steps the line takes. */
  constructor(used: number) {
    this.#used = used;
  }

  /** Null: a space. */
  push(character: string | null, step: number): void {
    const last = this.#words.at(-1);
    const [from, to] = [step / this.#used, (step + 1) / this.#used].map((at) =>
      Math.min(1, at),
    ) as [number, number];
    if (character === null) this.#isOpen = false;
    else if (this.#isOpen && last !== undefined) {
      last.text += character;
      last.to = to;
    } else {
      this.#words.push({ text: character, from, to });
      this.#isOpen = true;
    }
  }

  all(): readonly ReadWord[] {
    return this.#words;
  }
}

function bestClass(probabilities: Float32Array, offset: number, classes: number): number {
  let best = 0;
  let bestProbability = probabilities[offset] ?? 0;
  for (let index = 1; index < classes; index++) {
    const probability = probabilities[offset + index] ?? 0;
    if (probability > bestProbability) {
      best = index;
      bestProbability = probability;
    }
  }
  return best;
}
