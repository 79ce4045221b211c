/* RapidOCR, one thread, in a process of its own (bench/ocr/peer.py). */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface Reading {
  readonly text: string;
  readonly seconds: number;
}

export interface PeerReader {
  read(path: string): Promise<Reading>;
  close(): void;
}

export async function peerReader(python: string): Promise<PeerReader> {
  const child = spawn(python, ['bench/ocr/peer.py'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async (path: string): Promise<Reading> => {
    child.stdin.write(`${path}\n`);
    const { value } = (await lines.next()) as { value: string };
    return JSON.parse(value) as Reading;
  };
  await read('examples/page.png'); // loads the networks
  return { read, close: () => void child.kill('SIGKILL') };
}
