/*
 * Reads printed text: PP-OCRv4's two networks (Du et al., "PP-OCR", arXiv:2009.09941), the first
 * of which finds lines and the second reads each of them.
 */
import { readFile } from 'node:fs/promises';
import { openSession } from '../../onnx/session.ts';
import type { Pipeline, PipelineSettings, Media } from '../definition.ts';
import { decodeImage } from '../shared/image.ts';
import { detectLines } from './detection.ts';
import { cornersOf } from './geometry.ts';
import { inReadingOrder } from './reading-order.ts';
import { type Alphabet, recognizeLine } from './recognition.ts';
import { OCR_FILES, type OcrOptions, type OcrOutput } from './schema.ts';

type Corners = OcrOutput['lines'][number]['box'];

/** Loads both networks and the alphabet. */
export async function openOcr(settings: PipelineSettings): Promise<Pipeline> {
  const [detectionFile, recognitionFile, dictionaryFile] = OCR_FILES.map(
    (role) => settings.files[role] ?? '',
  ) as [string, string, string];
  const { device, manifest, graphs } = settings;
  const { threads } = manifest.resources;
  const [detection, recognition] = [
    await openSession(detectionFile, { device, threads, graph: graphs['detection'] }),
    await openSession(recognitionFile, { device, threads, graph: graphs['recognition'] }),
  ];
  const alphabet = await readAlphabet(dictionaryFile);
  return {
    async infer({ input, options }, context) {
      const { min_confidence: minConfidence } = options as OcrOptions;
      const image = await decodeImage(input['image'] as Media, settings.limits);
      context.report(0, 'looking for lines');
      const found = inReadingOrder(await detectLines(detection, image));
      const lines: OcrOutput['lines'] = [];
      for (const [index, line] of found.entries()) {
        context.report((index + 1) / (found.length + 1), `line ${index + 1} of ${found.length}`);
        const { text, confidence } = await recognizeLine(recognition, alphabet, image, line);
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

/** Class 0 is CTC's blank; the classes after the dictionary's characters are the space. */
async function readAlphabet(path: string): Promise<Alphabet> {
  const characters = (await readFile(path, 'utf8')).replace(/\r?\n$/, '').split(/\r?\n/);
  return ['', ...characters, ' '];
}
