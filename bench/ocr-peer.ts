/*
 * OCR against RapidOCR (the same networks): character error rate and seconds per page, one thread
 * each, page by page in turn. Installs the peer and the fonts of its pages into .buzzer/ocr-bench.
 */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, copyFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { OcrOutput } from '../src/pipelines/ocr/schema.ts';
import { editsBetween } from '../src/contract/edit-distance.ts';
import { infer, openRuntime, versionOf } from './port.ts';

const PLACE = resolve('.buzzer/ocr-bench');

interface Reading {
  readonly text: string;
  readonly seconds: number;
}
type Reader = (path: string) => Promise<Reading>;

export async function measureOcrAgainstPeer(): Promise<void> {
  const pages = await prepare();
  const peers = { RapidOCR: startPeer(['--classifier']), 'without classifier': startPeer([]) };
  const runtime = openRuntime();
  const version = await versionOf('ocr');
  await runtime.serve(version);
  const ours: Reader = async (path) => {
    const media = await readFile(path);
    const startedAt = performance.now();
    const { output } = await infer(runtime, version, { image: { kind: 'media', bytes: media } });
    const seconds = (performance.now() - startedAt) / 1000;
    return { seconds, text: (JSON.parse(Buffer.from(output).toString()) as OcrOutput).text };
  };
  const readers: Record<string, Reader> = { Buzzer: ours, ...peersReaders(peers) };
  for (const read of Object.values(readers)) await read(pages[0]?.path ?? ''); // loads the networks
  const sums = new Map<string, Sum>();
  for (const { kind, path, truth } of pages) {
    for (const [name, read] of Object.entries(readers)) {
      const { text, seconds } = await read(path);
      const sum = sums.get(`${kind} ${name}`) ?? { pages: 0, edits: 0, characters: 0, seconds: 0 };
      sum.pages += 1;
      sum.edits += editsBetween(squeeze(truth), squeeze(text));
      sum.characters += squeeze(truth).length;
      sum.seconds += seconds;
      sums.set(`${kind} ${name}`, sum);
    }
  }
  await runtime.close();
  for (const peer of Object.values(peers)) peer.kill('SIGKILL');
  print([...new Set(pages.map(({ kind }) => kind))], Object.keys(readers), sums);
}

interface Sum {
  pages: number;
  edits: number;
  characters: number;
  seconds: number;
}

function print(kinds: readonly string[], names: readonly string[], sums: Map<string, Sum>): void {
  console.log(`OCR: characters wrong, and seconds per page: ${names.join(' | ')}`);
  for (const kind of kinds) {
    const columns = names.map((name) => {
      const sum = sums.get(`${kind} ${name}`) ?? { pages: 1, edits: 0, characters: 1, seconds: 0 };
      const rate = (100 * sum.edits) / sum.characters;
      return `${rate.toFixed(2)} % ${(sum.seconds / sum.pages).toFixed(2)} s`;
    });
    console.log(`  ${kind}: ${columns.join(' | ')}`);
  }
}

async function prepare() {
  const folder = join(PLACE, 'pages');
  if (!existsSync(folder)) {
    mkdirSync(PLACE, { recursive: true });
    execFileSync('python3', ['-m', 'venv', join(PLACE, 'venv')]);
    pip('install', '-q', '-r', 'bench/ocr/requirements.txt');
    copyFileSync('bench/ocr/fonts.json', join(PLACE, 'package.json'));
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--silent'], { cwd: PLACE });
    const fonts = join(PLACE, 'node_modules');
    execFileSync(python(), ['bench/ocr/make_pages.py', fonts, folder]);
  }
  const names = (await readdir(folder)).filter((name) => !name.endsWith('.txt')).toSorted();
  const pages = names.map(async (name) => ({
    kind: name.split('-')[0] ?? '',
    path: join(folder, name),
    truth: await readFile(join(folder, name.replace(/\.\w+$/, '.txt')), 'utf8'),
  }));
  return await Promise.all(pages);
}

const python = (): string => join(PLACE, 'venv', 'bin', 'python');
const pip = (...words: readonly string[]) => execFileSync(python(), ['-m', 'pip', ...words]);

const startPeer = (options: readonly string[]): ChildProcessWithoutNullStreams =>
  spawn(python(), ['bench/ocr/peer.py', ...options]);

function peersReaders(
  peers: Readonly<Record<string, ChildProcessWithoutNullStreams>>,
): Record<string, Reader> {
  return Object.fromEntries(
    Object.entries(peers).map(([name, child]) => {
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const read: Reader = async (path) => {
        child.stdin.write(`${path}\n`);
        const { value } = (await lines.next()) as { value: string };
        return JSON.parse(value) as Reading;
      };
      return [name, read];
    }),
  );
}

/** Where words are broken into lines does not count. */
const squeeze = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();
