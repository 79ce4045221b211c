/* Reads the picture of a page, and says in points of the page where its text stands. */
import type { PageReader } from '../ocr/page-reader.ts';
import type { ReadText } from '../ocr/recognition.ts';
import { cornersOf, type Line } from '../shared/geometry.ts';
import { textInOrder, type PageText, type TextLine } from './page-text.ts';
import { type PageContent, pageTimeout } from './pages.ts';
import type { Box } from './pdf-page.ts';

/** Points per pixel. */
interface Scale {
  readonly x: number;
  readonly y: number;
}

export interface OcrOptions {
  /** Lines read with less confidence are left out. */
  readonly minConfidence: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Throws, between two lines, `PageFailure` when it takes too long and the reason of the signal. */
export async function readPageImage(
  { image, width, height }: Extract<PageContent, { source: 'ocr' }>,
  reader: PageReader,
  { minConfidence, timeoutMs, signal }: OcrOptions,
): Promise<PageText> {
  const lateAtMs = performance.now() + timeoutMs;
  const scale = { x: width / image.width, y: height / image.height };
  const lines: TextLine[] = [];
  for (const line of await reader.findLines(image)) {
    signal.throwIfAborted();
    if (performance.now() > lateAtMs) throw pageTimeout(timeoutMs);
    const read = await reader.readLine(image, line);
    if (read.text === '' || read.confidence < minConfidence) continue;
    lines.push({
      words: wordsOf(read, line).map(({ text, at }) => ({ text, box: boxOf(at, scale) })),
      box: boxOf(line, scale),
      place: scaled(line, scale),
      confidence: read.confidence,
      quarters: 0,
    });
  }
  return textInOrder(lines);
}

/** The words of a line as pieces of it. */
function wordsOf(
  { words }: ReadText,
  line: Line,
): readonly { readonly text: string; readonly at: Line }[] {
  const [cos, sin] = [Math.cos(line.angle), Math.sin(line.angle)];
  return words.map(({ text, from, to }) => {
    const along = ((from + to) / 2 - 0.5) * line.width;
    const width = (to - from) * line.width;
    return { text, at: { ...line, x: line.x + along * cos, y: line.y + along * sin, width } };
  });
}

const scaled = (line: Line, { x, y }: Scale): Line => ({
  ...line,
  x: line.x * x,
  y: line.y * y,
  width: line.width * x,
  height: line.height * y,
});

/** The upright box around a line that may be turned. */
function boxOf(line: Line, scale: Scale): Box {
  const corners = cornersOf(line);
  const across = corners.map(([x]) => x * scale.x);
  const down = corners.map(([, y]) => y * scale.y);
  return [Math.min(...across), Math.min(...down), Math.max(...across), Math.max(...down)];
}
