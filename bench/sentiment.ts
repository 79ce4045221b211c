/* What the runtime adds to a model of transformers, and its memory over many inferences. */
import { ask, residentMegabytes, startChild } from './children.ts';
import { inPairs, latencyMs, print, throughput } from './pairs.ts';
import { infer, openRuntime, versionOf } from './port.ts';
import { modelProcesses } from '../test/support/service.ts';

const PAIRS = 7;
const TEXTS = 1920;
const LEAK_TEXTS = 3000;

export async function measureSentiment(): Promise<void> {
  const inputs = 'The room was clean, but the staff could have been friendlier.';
  const input = { inputs: { kind: 'value' as const, value: inputs } };
  const runtime = openRuntime();
  const version = await versionOf('sentiment');
  await runtime.serve(version);
  const call = async () => await infer(runtime, version, input);
  const plain = await startChild('bench/plain-sentiment.ts');

  const one = await inPairs(
    PAIRS,
    async () => await latencyMs(300, call),
    async () => await ask(plain, 'one'),
  );
  const added = (one.ours - one.floor).toFixed(2);
  console.log(
    `sentiment, one at a time: ${one.ours.toFixed(2)} ms, plain ${one.floor.toFixed(2)} ms, ${added} ms more`,
  );
  const many = await inPairs(
    PAIRS,
    async () => await throughput(TEXTS, 64, call),
    async () => await ask(plain, 'many'),
  );
  print('sentiment, 64 callers against plain batches of 32', many, 'texts/s');

  const [pid = 0] = modelProcesses(process.pid);
  await throughput(LEAK_TEXTS / 10, 1, call);
  const before = residentMegabytes(pid);
  await throughput(LEAK_TEXTS, 1, call);
  console.log(
    `memory of its process over ${LEAK_TEXTS} texts: ${before} MB, ${residentMegabytes(pid)} MB`,
  );
  plain.kill('SIGKILL');
  await runtime.close();
}
