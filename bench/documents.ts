/*
 * Documents against what people use, on files that nobody here wrote (`documents/fetch.sh`, which needs apt): about ten
 * minutes. And a long document through the whole service, with kills: as long again.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import { editsBetween } from '../src/contract/edit-distance.ts';
import type { Prediction } from '../src/contract/prediction.ts';
import type { DocumentOutput, DocumentPage } from '../src/pipelines/document/schema.ts';
import type { OcrOutput } from '../src/pipelines/ocr/schema.ts';
import { makePdf, type TestPage } from '../test/support/pdf.ts';
import { modelProcesses, Service } from '../test/support/service.ts';
import { residentMegabytes } from './children.ts';
import { peerReader, type Reading } from './documents/peer.ts';
import { compareWords, pdftotextWords, type PlacedWord } from './documents/words-against.ts';
import { median } from './pairs.ts';
import { infer, openRuntime, versionOf } from './port.ts';

const PLACE = resolve('.buzzer/documents-bench');
const PYPDF = join(PLACE, 'sources/pypdf-7.1.1/resources');
const PIKEPDF = join(PLACE, 'sources/pikepdf-10.18.0/tests/resources');
const R_EXTS = join(PLACE, 'debian/usr/share/R/doc/manual/R-exts.pdf');
const GUIDE = join(PLACE, 'debian/usr/share/doc/python-reportlab-doc/reportlab-userguide.pdf');
const COMPARED_PAGES = 60;
const python = join(PLACE, 'venv/bin/python');

export async function measureDocuments(): Promise<void> {
  execFileSync('bash', ['bench/documents/fetch.sh', PLACE], { stdio: 'inherit' });
  const runtime = openRuntime();
  await runtime.serve(await versionOf('document'));
  await runtime.serve(await versionOf('ocr'));
  const reader = new Reader(runtime);
  await reader.read(R_EXTS, { pages: '1' }); // loads the networks
  await measureWords(reader);
  await measureDecisions(reader);
  await measureScans(reader);
  await runtime.close();
}

class Reader {
  readonly #runtime: ReturnType<typeof openRuntime>;
  constructor(runtime: ReturnType<typeof openRuntime>) {
    this.#runtime = runtime;
  }

  async read(path: string, options: Readonly<Record<string, string | number>>) {
    const bytes = await readFile(path);
    const version = await versionOf('document');
    const input = { document: { kind: 'media', bytes } } as const;
    const { output, inferenceMs } = await infer(this.#runtime, version, input, options);
    return { output: JSON.parse(Buffer.from(output).toString()) as DocumentOutput, inferenceMs };
  }

  async ocr(path: string) {
    const bytes = await readFile(path);
    const input = { image: { kind: 'media', bytes } } as const;
    const { output, inferenceMs } = await infer(this.#runtime, await versionOf('ocr'), input);
    return { output: JSON.parse(Buffer.from(output).toString()) as OcrOutput, inferenceMs };
  }
}

/** Pages with text: whose words are found, and in whose order. */
async function measureWords(reader: Reader): Promise<void> {
  const files = [
    R_EXTS,
    GUIDE,
    join(PIKEPDF, 'sandwich.pdf'),
    join(PIKEPDF, 'form_dd0293.pdf'),
    join(PIKEPDF, 'form_210966.pdf'),
    join(PYPDF, 'GeoBase_NHNC1_Data_Model_UML_EN.pdf'),
    join(PYPDF, 'issue-604.pdf'),
    join(PYPDF, 'multilang.pdf'),
    join(PIKEPDF, 'pdfa/graph_ocred.pdf'),
    join(PYPDF, 'indirect-rotation.pdf'),
  ];
  const plumber = execFileSync(
    python,
    ['bench/documents/pdfplumber_words.py', String(COMPARED_PAGES), ...files],
    { maxBuffer: 1024 ** 3 },
  );
  const theirs = plumber.toString().trim().split('\n');
  console.log(
    "words of pdftotext's that are found, its order kept, ms a page; the same of pdfplumber",
  );
  for (const [index, file] of files.entries()) {
    const expected = await pdftotextWords(file, COMPARED_PAGES);
    const { output, inferenceMs } = await reader.read(file, {
      mode: 'text',
      pages: `1-${COMPARED_PAGES}`,
    });
    const ours = against(expected, output.pages.map(wordsOf));
    const other = JSON.parse(theirs[index] ?? '') as {
      readonly seconds: number;
      readonly pages: readonly (readonly PlacedWord[])[];
    };
    const count = output.pages.length;
    const peer = against(expected, other.pages);
    console.log(
      `  ${file.split('/').at(-1)}, ${count} pages: ${ours} ${(inferenceMs / count).toFixed(1)} ms; ` +
        `pdfplumber ${peer} ${((1000 * other.seconds) / count).toFixed(0)} ms`,
    );
  }
}

const wordsOf = ({ lines }: DocumentPage): readonly PlacedWord[] =>
  lines.flatMap(({ words }) =>
    words.map(({ text, box: [left, top, right, bottom] }) => ({
      text,
      x: (left + right) / 2,
      y: (top + bottom) / 2,
    })),
  );

function against(
  expected: readonly (readonly PlacedWord[])[],
  found: readonly (readonly PlacedWord[])[],
): string {
  const pages = expected.map((words, index) => compareWords(words, found[index] ?? []));
  const sum = (of: 'theirs' | 'found' | 'letters' | 'neighbours' | 'kept') =>
    pages.reduce((total, page) => total + page[of], 0);
  const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`;
  const words = percent(sum('found'), sum('theirs'));
  const letters = percent(sum('letters'), sum('theirs'));
  return `${words} (${letters} as words or parts of words), order ${percent(sum('kept'), sum('neighbours'))},`;
}

interface Truth {
  readonly file: string;
  readonly kind: string;
  readonly source: string;
}

/** Where the text is taken from, on pages of which that is known. */
async function measureDecisions(reader: Reader): Promise<void> {
  const folder = join(PLACE, 'held-out');
  if (!existsSync(join(folder, 'truth.json'))) {
    const sources = join(PLACE, 'held-out-sources');
    await mkdir(sources, { recursive: true });
    for (const name of ['octave', 'camlidl', 'gri', 'gnuplot']) {
      const from = join(PLACE, 'debian/usr/share/doc', name);
      execFileSync('bash', ['-c', `cp ${from}/*.pdf ${sources}/`]);
    }
    execFileSync(python, ['bench/documents/make_held_out.py', sources, folder], {
      stdio: 'inherit',
    });
  }
  const pages = JSON.parse(await readFile(join(folder, 'truth.json'), 'utf8')) as readonly Truth[];
  const kinds = new Map<string, { right: number; all: number }>();
  const wrong: string[] = [];
  for (const { file, kind, source } of pages) {
    const { output } = await reader.read(join(folder, file), { dpi: 72 });
    const found = output.pages[0]?.source;
    const count = kinds.get(kind) ?? { right: 0, all: 0 };
    count.all += 1;
    if (found === source) count.right += 1;
    else wrong.push(`${file} is ${source}, taken for ${found}`);
    kinds.set(kind, count);
  }
  const right = pages.length - wrong.length;
  console.log(
    `text or OCR: ${right} of ${pages.length} pages right (${((100 * right) / pages.length).toFixed(1)} %): ` +
      [...kinds].map(([kind, count]) => `${kind} ${count.right}/${count.all}`).join(', '),
  );
  for (const each of wrong) console.log(`  ${each}`);
}

/** Scans made of pages with text: 200 dpi, noise, 2° askew. */
async function measureScans(reader: Reader): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'buzzer-scans-'));
  const peer = await peerReader(python);
  const sums = { ours: new Sum(), ocr: new Sum(), peer: new Sum() };
  const ratios: number[] = [];
  for (const [file, pages] of [
    [R_EXTS, [14, 20, 33, 58, 100, 150]],
    [GUIDE, [10, 30, 55, 80, 101, 120]],
  ] as const) {
    for (const page of pages) {
      const { output } = await reader.read(file, { pages: String(page), mode: 'text' });
      const truth = squeeze(output.text);
      const scan = await scanOf(file, page, folder);
      const asDocument = await reader.read(scan, { mode: 'ocr' });
      const asImage = await reader.ocr(scan);
      ratios.push(asImage.inferenceMs / asDocument.inferenceMs);
      sums.ours.add(truth, {
        text: asDocument.output.text,
        seconds: asDocument.inferenceMs / 1000,
      });
      sums.ocr.add(truth, { text: asImage.output.text, seconds: asImage.inferenceMs / 1000 });
      sums.peer.add(truth, await peer.read(scan));
    }
  }
  peer.close();
  await rm(folder, { recursive: true });
  console.log(
    `scans: document ${sums.ours.shown()}, ocr ${sums.ocr.shown()}, RapidOCR ${sums.peer.shown()}; ` +
      `document against ocr: ${median(ratios).toFixed(2)} pages a second`,
  );
}

class Sum {
  #edits = 0;
  #characters = 0;
  #seconds = 0;
  #pages = 0;

  add(truth: string, { text, seconds }: Reading): void {
    this.#edits += editsBetween(truth, squeeze(text));
    this.#characters += truth.length;
    this.#seconds += seconds;
    this.#pages += 1;
  }

  shown(): string {
    const rate = (100 * this.#edits) / this.#characters;
    return `${rate.toFixed(2)} % of the characters wrong, ${(this.#seconds / this.#pages).toFixed(1)} s a page`;
  }
}

/** Spaces and the ends of lines do not count. */
const squeeze = (text: string): string => text.replaceAll(/\s+/g, '');

async function scanOf(file: string, page: number, folder: string): Promise<string> {
  const args = [
    '-r',
    '200',
    '-gray',
    '-png',
    '-f',
    String(page),
    '-l',
    String(page),
    '-singlefile',
  ];
  execFileSync('pdftoppm', [...args, file, join(folder, 'page')]);
  const turned = await sharp(join(folder, 'page.png'))
    .rotate(2, { background: 'white' })
    .greyscale()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { data, info } = turned;
  let seed = page;
  for (let at = 0; at < data.length; at++) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    data[at] = Math.max(0, Math.min(255, (data[at] ?? 0) + ((seed >>> 24) - 128) / 6));
  }
  const target = join(folder, `scan-${page}.png`);
  const raw = { width: info.width, height: info.height, channels: 1 } as const;
  await sharp(data, { raw }).withMetadata({ density: 200 }).png().toFile(target);
  return target;
}

const PAGES = 236;
const KILLS = 5;

/** 236 pages through the whole service: when the first can be read, memory, and kills. */
export async function measureDocumentRun(): Promise<void> {
  execFileSync('bash', ['bench/documents/fetch.sh', PLACE], { stdio: 'inherit' });
  const service = await Service.startAlone({ BUZZER_LOG_LEVEL: 'warn' });
  try {
    await firstPage(service, await readFile(R_EXTS), 'R-exts.pdf');
    await kills(service, await pictures());
  } finally {
    await service.close();
  }
}

async function pictures(): Promise<Buffer> {
  const { data, info } = await sharp('examples/page.png')
    .greyscale()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const size = `/Width ${info.width}/Height ${info.height}/BitsPerComponent 8/ColorSpace/DeviceGray`;
  const page: TestPage = { content: 'q 595 0 0 300 0 500 cm /X1 Do Q' };
  return makePdf({
    pages: Array.from({ length: PAGES }, () => page),
    objects: [['X1', `/Type/XObject/Subtype/Image${size}`, data]],
  });
}

async function submit(service: Service, document: Uint8Array): Promise<Prediction> {
  const response = await fetch(`${service.url}/v1/models/document/predictions`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/pdf' },
    body: document,
  });
  return (await response.json()) as Prediction;
}

const pagesDone = ({ partial_output: partial }: Prediction): number =>
  partial !== null && 'pages_done' in partial ? partial.pages_done : 0;
/** The page that is worked on, as progress tells it; 0: none. */
const pageOf = ({ progress }: Prediction): number =>
  Number(/^page (\d+) of/.exec(progress?.message ?? '')?.[1] ?? 0);

async function firstPage(service: Service, document: Buffer, name: string): Promise<void> {
  await service.ended((await submit(service, document)).id); // loads the model
  const { id } = await submit(service, document);
  const record = await service.readUntil(
    id,
    'to have a page',
    (each) => pagesDone(each) > 0 || each.completed_at !== null,
  );
  const ms = Date.now() - Date.parse(record.started_at ?? '');
  const ended = await service.ended(id, 60_000);
  console.log(
    `${name}, ${PAGES} pages: the first could be read ${ms} ms after the start, ` +
      `all after ${ended.metrics?.total_ms} ms`,
  );
}

/** Kills the model process and the worker by turns, at random pages. */
async function kills(service: Service, document: Buffer): Promise<void> {
  const { id } = await submit(service, document);
  const twice: number[] = [];
  const memory: number[] = [];
  const startedAt = performance.now();
  const firstAt = Math.round(PAGES / (2 * KILLS + 1));
  for (let kill = 1; kill <= 2 * KILLS; kill++) {
    const at = firstAt * kill - Math.floor(Math.random() * 8);
    await watched(service, id, memory, (record) => pageOf(record) >= at);
    const before = pageOf(await service.read(id));
    if (kill % 2 === 0) {
      const [pid = 0] = modelProcesses(service.inference.pid);
      process.kill(pid, 'SIGKILL');
    } else {
      await service.inference.signal('SIGKILL');
      await service.inference.start();
    }
    const attempt = kill + 1;
    const again = await watched(
      service,
      id,
      [],
      (each) => each.attempt >= attempt && pageOf(each) > 0,
    );
    twice.push(Math.max(0, before - pageOf(again)));
  }
  const ended = await watched(service, id, memory, ({ completed_at: at }) => at !== null);
  const response = await fetch(`${service.url}/v1/predictions/${id}/output`);
  const { pages } = (await response.json()) as DocumentOutput;
  const numbers = pages.map(({ number }) => number);
  const isWhole =
    numbers.length === PAGES && numbers.every((number, index) => number === index + 1);
  console.log(
    `${PAGES} pages of OCR, ${2 * KILLS} kills by turns of worker and model process: ${ended.status} at attempt ` +
      `${ended.attempt} after ${((performance.now() - startedAt) / 1000).toFixed(0)} s; each page once: ${isWhole}; ` +
      `pages that were done and done again after each kill: ${twice.join(' ')}`,
  );
  await memoryOf(service, document);
}

async function watched(
  service: Service,
  id: string,
  memory: number[],
  isOver: (record: Prediction) => boolean,
): Promise<Prediction> {
  return await service.readUntil(
    id,
    'to go on',
    (record) => {
      const [pid] = modelProcesses(service.inference.pid);
      if (pid !== undefined && existsSync(`/proc/${pid}`)) memory.push(residentMegabytes(pid));
      return isOver(record);
    },
    3_600_000,
  );
}

/** Of a model process, page by page, when nothing disturbs it. */
async function memoryOf(service: Service, document: Buffer): Promise<void> {
  const { id } = await submit(service, document);
  const byPage = new Map<number, number>();
  await service.readUntil(
    id,
    'to end',
    (record) => {
      const [pid] = modelProcesses(service.inference.pid);
      const page = pageOf(record);
      if (pid !== undefined && page > 0) byPage.set(page, residentMegabytes(pid));
      return record.completed_at !== null;
    },
    3_600_000,
  );
  const later = [...byPage].filter(([page]) => page > 20).map(([, megabytes]) => megabytes);
  const at20 = byPage.get(20) ?? later[0];
  console.log(
    `memory of the model process: ${at20} MB at page 20, then ${Math.min(...later)} to ${Math.max(...later)} MB`,
  );
}
