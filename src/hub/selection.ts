/* Which files of a repository a model needs. */
import { type Dtype, DIFFUSION, neededFiles, TASK_NAMES } from '../pipelines/index.ts';
import { HubError } from './hub-error.ts';

/** What a model can be pulled for. */
export const PULLED_TASKS: readonly string[] = [...TASK_NAMES, DIFFUSION.task];

/** What the files of a repository are for, when they say so; else what it says itself. */
export const taskIn = (paths: readonly string[], said: string | null): string | null =>
  paths.includes(DIFFUSION.index) ? DIFFUSION.task : said;

/** A file, and what a manifest calls it. */
export interface ChosenFile {
  readonly role: string;
  readonly path: string;
}

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
): readonly ChosenFile[] {
  if (task === DIFFUSION.task) return diffusionFiles(paths, dtype);
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
  const all = [...always, ...chosen, ...weights, ...OPTIONAL.filter((path) => there.has(path))];
  return all.map((path) => ({ role: path, path }));
}

/** What the name of a graph ends with; people have named them in two ways. */
const DIFFUSION_SUFFIXES: Readonly<Partial<Record<Dtype, readonly string[]>>> = {
  fp32: [''],
  fp16: ['_fp16', '.fp16'],
};

/** One variant of each graph, with its weights. Throws `HubError`. */
function diffusionFiles(paths: readonly string[], dtype: Dtype): readonly ChosenFile[] {
  const suffixes = DIFFUSION_SUFFIXES[dtype];
  if (suffixes === undefined)
    throw new HubError(`models for images come as fp32 or fp16: not ${dtype}`);
  const there = new Set(paths);
  const missing: string[] = [];
  const chosen = DIFFUSION.files.flatMap((role): readonly ChosenFile[] => {
    const variants = role.endsWith('.onnx')
      ? suffixes.map((suffix) => role.replace(/\.onnx$/, `${suffix}.onnx`))
      : [role];
    // What a model may lack is taken as fp32 where it has no fp16 of it: a safety checker is not left behind.
    const isOptional = !DIFFUSION.needed.includes(role);
    const path = [...variants, ...(isOptional ? [role] : [])].find((each) => there.has(each));
    if (path === undefined) {
      if (!isOptional) missing.push(variants.join(' or '));
      return [];
    }
    const weights = DIFFUSION.weightsOf(path, paths).filter((each) => each !== path);
    return [path, ...weights].map((each) => ({ role: each === path ? role : each, path: each }));
  });
  if (missing.length === 0) return chosen;
  const graphs = paths.filter((path) => path.endsWith('.onnx'));
  const others = graphs.length === 0 ? 'it has no graph' : `it has ${graphs.join(', ')}`;
  throw new HubError(`the repository has no ${missing.join(', ')} (${dtype}): ${others}`);
}
