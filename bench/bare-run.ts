/* `affine` on tensors of a given size, in ONNX Runtime and nothing else. Prints median milliseconds. */
import { openSession, Tensor } from '../src/onnx/session.ts';
import { median } from './pairs.ts';

const TIMES = 50;

process.on('message', (count: number) => {
  void (async () => {
    const path = 'examples/models/affine/1/model.onnx';
    const session = await openSession(path, { device: 'cpu', threads: 1, graph: undefined });
    const values = new Float32Array(count);
    const times: number[] = [];
    for (let time = 0; time < TIMES; time++) {
      const startedAt = performance.now();
      await session.runOne(new Tensor('float32', values, [1, count]));
      times.push(performance.now() - startedAt);
    }
    process.send?.(median(times));
  })();
});
process.send?.('ready');
