/* The second half of `npm run build`: everything that the compiler does not make. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { affineGraph, burnGraph, mlpGraph } from '../onnx/example-graphs.ts';
import { writeBabble } from './babble.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

// Done at build time, because bundling takes longer than all the rest of a worker's start.
const { code } = await bundleWorkflowCode({
  workflowsPath: fileURLToPath(new URL('../workflows/index.js', import.meta.url)),
  logger: new DefaultLogger('WARN'),
});
await writeFile(join(root, 'dist', 'workflow-bundle.js'), code);

await writeBabble(join(root, 'examples', 'models', 'babble', '1'));

const examples = { affine: affineGraph, burn: burnGraph, mlp: mlpGraph };
for (const [name, graph] of Object.entries(examples)) {
  const folder = join(root, 'examples', 'models', name, '1');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'model.onnx'), graph());
}
