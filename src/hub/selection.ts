/* Which files of a repository a model needs. */
import { type Dtype, neededFiles } from '../pipelines/index.ts';
import { HubError } from './hub-error.ts';

/** Files that the library reads when they are there. */
const OPTIONAL = [
  'special_tokens_map.json',
  'generation_config.json',
  'processor_config.json',
  'chat_template.jinja',
];

/** The files of a task and a dtype among those that there are. Throws `HubError` when one is missing. */
export function selectFiles(
  paths: readonly string[],
  task: string,
  dtype: Dtype,
): readonly string[] {
  const there = new Set(paths);
  const { always, graphs } = neededFiles(task, dtype);
  const chosen = graphs.find((each) => each.every((path) => there.has(path)));
  if (chosen === undefined) {
    const wanted = graphs.map((each) => each.join(' and ')).join(', or ');
    const found = paths.filter((path) => /^onnx\/[^/]+\.onnx$/.test(path));
    const others = found.length === 0 ? 'it has no graph in onnx/' : `it has ${found.join(', ')}`;
    throw new HubError(`the repository has no ${wanted} (${dtype}): ${others}`);
  }
  const missing = always.filter((path) => !there.has(path));
  if (missing.length > 0) throw new HubError(`the repository has no ${missing.join(', ')}`);
  const weights = chosen.flatMap((graph) =>
    paths.filter((path) => path.startsWith(`${graph}_data`)),
  );
  return [...always, ...chosen, ...weights, ...OPTIONAL.filter((path) => there.has(path))];
}
