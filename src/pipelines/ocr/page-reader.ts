/*
 * Reads printed text: PP-OCRv4's two networks (Du et al., "PP-OCR", arXiv:2009.09941), the first
 * of which finds lines and the second reads each of them.
 */
import { readFile } from 'node:fs/promises';
import { openSession, type Session } from '../../onnx/session.ts';
import type { PipelineSettings } from '../definition.ts';
import type { Line } from '../shared/geometry.ts';
import type { RgbImage } from '../shared/image.ts';
import { detectLines } from './detection.ts';
import { type Alphabet, type ReadText, recognizeLine } from './recognition.ts';
import { OCR_FILES } from './schema.ts';

/** Both networks and the alphabet. */
export class PageReader {
  readonly #detection: Session;
  readonly #recognition: Session;
  readonly #alphabet: Alphabet;

  private constructor(detection: Session, recognition: Session, alphabet: Alphabet) {
    this.#detection = detection;
    this.#recognition = recognition;
    this.#alphabet = alphabet;
  }

  /** Loads them from the files of a manifest, whose roles are `OCR_FILES`. */
  static async open({ files, device, manifest, graphs }: PipelineSettings): Promise<PageReader> {
    const [detection, recognition, dictionary] = OCR_FILES.map((role) => files[role] ?? '') as [
      string,
      string,
      string,
    ];
    const { threads } = manifest.resources;
    return new PageReader(
      await openSession(detection, { device, threads, graph: graphs['detection'] }),
      await openSession(recognition, { device, threads, graph: graphs['recognition'] }),
      await readAlphabet(dictionary),
    );
  }

  /** The lines of a page, in its pixels and in no particular order. */
  async findLines(page: RgbImage): Promise<readonly Line[]> {
    return await detectLines(this.#detection, page);
  }

  /** What one of the lines says. */
  async readLine(page: RgbImage, line: Line): Promise<ReadText> {
    return await recognizeLine(this.#recognition, this.#alphabet, page, line);
  }
}

/** Class 0 is CTC's blank; the classes after the dictionary's characters are the space. */
async function readAlphabet(path: string): Promise<Alphabet> {
  const characters = (await readFile(path, 'utf8')).replace(/\r?\n$/, '').split(/\r?\n/);
  return ['', ...characters, ' '];
}
