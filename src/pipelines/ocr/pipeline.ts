/* Reads the text of an image. */
import type { Media, Pipeline, PipelineSettings } from '../definition.ts';
import { cornersOf } from '../shared/geometry.ts';
import { decodeImage } from '../shared/image.ts';
import { inReadingOrder } from '../shared/reading-order.ts';
import { PageReader } from './page-reader.ts';
import type { OcrOptions, OcrOutput } from './schema.ts';

type Corners = OcrOutput['lines'][number]['box'];

export async function openOcr(settings: PipelineSettings): Promise<Pipeline> {
  const reader = await PageReader.open(settings);
  return {
    async infer({ input, options }, context) {
      const { min_confidence: minConfidence } = options as OcrOptions;
      const image = await decodeImage(input['image'] as Media, settings.limits);
      context.report(0, 'looking for lines');
      const found = inReadingOrder(await reader.findLines(image));
      const lines: OcrOutput['lines'] = [];
      for (const [index, line] of found.entries()) {
        context.report((index + 1) / (found.length + 1), `line ${index + 1} of ${found.length}`);
        const { text, confidence } = await reader.readLine(image, line);
        if (text === '' || confidence < minConfidence) continue;
        lines.push({ text, confidence, box: cornersOf(line).map(([x, y]) => [x, y]) as Corners });
      }
      const output: OcrOutput = {
        text: lines.map((line) => line.text).join('\n'),
        lines,
        page: { width: image.width, height: image.height },
      };
      return output;
    },
  };
}
