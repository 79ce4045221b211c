/* Which files of a repository a model needs. */
import { graphFile, type Dtype, neededFiles } from '../pipelines/index.ts';
import { HubError } from './hub-error.ts';

/** Files that the library reads when they are there. */
const OPTIONAL = ['special_tokens_map.json', 'generation_config.json', 'processor_config.json'];

/** The files of a task and a dtype among those that there are. Throws `HubError` when one is missing. */
export function selectFiles(
  paths: readonly string[],
  task: string,
  dtype: Dtype,
): readonly string[] {
  const there = new Set(paths);
  const graph = graphFile(dtype);
  const needed = neededFiles(task, dtype);
  const missing = needed.filter((path) => !there.has(path));
  if (missing.includes(graph)) {
    const graphs = paths.filter((path) => /^onnx\/[^/]+\.onnx$/.test(path));
    const others = graphs.length === 0 ? 'it has no graph in onnx/' : `it has ${graphs.join(', ')}`;
    throw new HubError(`the repository has no ${graph} (${dtype}): ${others}`);
  }
  if (missing.length > 0) throw new HubError(`the repository has no ${missing.join(', ')}`);
  const weights = paths.filter((path) => path.startsWith(`${graph}_data`));
  return [...needed, ...weights, ...OPTIONAL.filter((path) => there.has(path))];
}
