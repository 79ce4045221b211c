/*
 * Where the versions of a repository lie: `<name>/<version>/` with a model.json, a model.onnx, one .onnx file of any
 * name, or a model_index.json. What looks like a model but lies elsewhere is a problem, which says what was expected.
 */
import { type Dirent } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DIFFUSION } from '../pipelines/index.ts';
import { isModelName, type ModelRef, parseModelVersion } from '../contract/model.ts';

/** A log line for each of a thousand misplaced files would hide the rest. */
const MAX_PROBLEMS = 50;
/** Every file of a version is looked at every two seconds. */
const MAX_FILES = 1000;

export interface Layout {
  readonly versions: readonly { readonly ref: ModelRef; readonly folder: string }[];
  /** What is not served: each entry has the place and what was expected there. */
  readonly problems: readonly string[];
}

/** Called for a folder that is there but cannot be read now. */
type OnUnread = (path: string, error: unknown) => void;

const QUIETLY = { onUnread: () => {} };

/** Looks through the folders of a repository; those that do not exist are empty. */
export async function readLayout(folders: readonly string[], onUnread: OnUnread): Promise<Layout> {
  const look = new Look(onUnread);
  for (const folder of folders) await look.atRepository(folder);
  const { versions, problems } = look;
  return { versions, problems: problems.slice(0, MAX_PROBLEMS) };
}

class Look {
  readonly versions: { ref: ModelRef; folder: string }[] = [];
  readonly problems: string[] = [];
  readonly #onUnread: OnUnread;

  constructor(onUnread: OnUnread) {
    this.#onUnread = onUnread;
  }

  async atRepository(folder: string): Promise<void> {
    const { files, folders } = await this.#entriesOf(folder);
    for (const file of files.filter(isOnnx)) {
      const expected = join(folder, nameFor(file.replace(/\.onnx$/i, '')), '1', 'model.onnx');
      this.problems.push(
        `${join(folder, file)} is not in a folder of its own: put it into ${expected}`,
      );
    }
    for (const name of folders) {
      if (isModelName(name)) await this.#atModel(folder, name);
      else await this.#atWrongName(folder, name);
    }
  }

  async #atWrongName(folder: string, name: string): Promise<void> {
    const path = join(folder, name);
    const { files, folders } = await this.#entriesOf(path, QUIETLY); // a folder such as lost+found
    const isModel = files.some(isModelFile) || folders.some((each) => versionIn(each) !== null);
    if (!isModel) return;
    const advice = `lowercase letters, digits, . _ and -, such as ${nameFor(name)}`;
    this.problems.push(`${path} is not served: a model's name may only have ${advice}`);
  }

  async #atModel(folder: string, name: string): Promise<void> {
    const path = join(folder, name);
    const { files, folders } = await this.#entriesOf(path);
    for (const file of files.filter(isModelFile)) {
      const isIndex = file === DIFFUSION.index;
      const expected = join(path, '1', isIndex ? '' : isOnnx(file) ? 'model.onnx' : file);
      const what = isIndex ? 'all that lies beside it' : 'it';
      this.problems.push(
        `${join(path, file)} is not in the folder of a version: put ${what} into ${expected}`,
      );
    }
    if (files.includes('config.pbtxt')) {
      const advice = `settings go into a model.json beside each model.onnx (docs/models.md)`;
      this.problems.push(`${join(path, 'config.pbtxt')} is Triton's and is not read: ${advice}`);
    }
    // The folders of a misplaced model of diffusers are its components.
    const isDiffusers = files.includes(DIFFUSION.index);
    const versions = isDiffusers ? folders.filter((each) => versionIn(each) !== null) : folders;
    for (const versionName of versions) await this.#atVersion(path, name, versionName);
    if (folders.length > 0 || files.some(isModelFile)) return;
    this.problems.push(`${path} has no version: expected ${join(path, '1', 'model.onnx')}`);
  }

  async #atVersion(modelPath: string, name: string, versionName: string): Promise<void> {
    const path = join(modelPath, versionName);
    const version = parseModelVersion(versionName);
    const { files, folders, isUnread, count } = await this.#entriesOf(path, { max: MAX_FILES });
    if (isUnread) return;
    if (count > MAX_FILES) {
      const advice = 'only those of the model belong there';
      this.problems.push(
        `${path} is not served: it has more than ${MAX_FILES} files, and ${advice}`,
      );
      return;
    }
    if (version === null) {
      if (!files.some(isModelFile)) {
        await this.#tooDeep(path, folders);
        return;
      }
      const expected = join(modelPath, String(versionIn(versionName) ?? 1));
      this.problems.push(
        `${path} is not served: versions are whole numbers from 1 to 999999999, so call it ${expected}`,
      );
      return;
    }
    const other = files.find((file) => file !== 'model.json' && /^model\.json$/i.test(file));
    if (other !== undefined) {
      this.problems.push(`${join(path, other)} is not read: call it model.json`);
    }
    if (isVersion(files)) this.versions.push({ ref: { name, version }, folder: path });
    else this.problems.push(`${path} ${emptiness(files, folders, count)}`);
  }

  /** A model in a folder of folders: `models/vision/resnet/1/model.onnx`. */
  async #tooDeep(path: string, folders: readonly string[]): Promise<void> {
    for (const name of folders.slice(0, MAX_PROBLEMS)) {
      const { files } = await this.#entriesOf(join(path, name), QUIETLY);
      if (!files.some(isModelFile)) continue;
      const expected = join('<folder of models>', basename(path), name);
      this.problems.push(
        `${join(path, name)} is not served: it lies one folder too deep, expected ${expected}`,
      );
      return;
    }
  }

  /**
   * What lies in a folder, links included and hidden ones left out: its folders, the files that may be a
   * model's, and how many there are of everything. There may be very many, so it is read piece by piece, and
   * given up beyond `max`.
   */
  async #entriesOf(folder: string, { onUnread = this.#onUnread, max = Infinity } = {}) {
    const found = { isUnread: false, files: [] as string[], folders: [] as string[], count: 0 };
    try {
      for await (const entry of await opendir(folder)) {
        const { name } = entry;
        if (name.startsWith('.') || name === 'node_modules') continue;
        found.count += 1;
        if (found.count > max) break;
        if (isModelFile(name) || SETTINGS.test(name)) found.files.push(name);
        else if (isFolder(entry)) found.folders.push(name);
      }
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      found.isUnread = code !== 'ENOENT' && code !== 'ENOTDIR';
      if (found.isUnread) onUnread(folder, error);
    }
    found.files.sort();
    found.folders.sort();
    return found;
  }
}

/** Files that hold settings, or may be thought to. */
const SETTINGS = /^(?:model\.json|config\.pbtxt)$/i;

export const isOnnx = (name: string): boolean => /\.onnx$/i.test(name);
/** Judged by its name. Whether it is really a file is found out when it is read. */
const isModelFile = (name: string): boolean =>
  isOnnx(name) || name === 'model.json' || name === DIFFUSION.index;
/** A link counts too: it is followed when somebody looks into the folder. */
const isFolder = (entry: Dirent): boolean => entry.isDirectory() || entry.isSymbolicLink();

const isVersion = (files: readonly string[]): boolean =>
  files.includes('model.json') || files.includes(DIFFUSION.index) || onnxFileIn(files) !== null;

/** The graph of a version without a model.json; null when it is not clear which. */
export function onnxFileIn(files: readonly string[]): string | null {
  if (files.includes('model.onnx')) return 'model.onnx';
  const [only, ...others] = files.filter(isOnnx);
  return only !== undefined && others.length === 0 ? only : null;
}

function emptiness(files: readonly string[], folders: readonly string[], count: number): string {
  if (count > 0 && folders.length === count) {
    return 'has only folders: expected model.onnx, model.json or model_index.json in it';
  }
  if (count === 0) return 'is empty: expected model.onnx, model.json or model_index.json in it';
  const graphs = files.filter(isOnnx);
  if (graphs.length === 0)
    return 'has no .onnx file: expected model.onnx, model.json or model_index.json in it';
  const advice = 'call the one to be served model.onnx, or name it in a model.json';
  return `has several .onnx files (${graphs.slice(0, 5).join(', ')}): ${advice}`;
}

/** The number that `v1`, `V2` or `version3` was meant to be. */
function versionIn(text: string): number | null {
  const [, digits] = /^(?:v|version)?[ ._-]?0*(\d+)$/i.exec(text) ?? [];
  return digits === undefined ? null : parseModelVersion(digits);
}

/** The nearest name that a model may have. */
function nameFor(text: string): string {
  const name = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replaceAll(/^[._-]+|[._-]+$/g, '')
    .slice(0, 64);
  return isModelName(name) ? name : 'my-model';
}
