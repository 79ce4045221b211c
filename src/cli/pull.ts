/* `npm run pull -- org/name[@revision]`: brings a model of Hugging Face into a folder of models. */
import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { runCommand, UsageError } from './command.ts';
import { ConfigError, readConfig } from '../config.ts';
import { isModelName } from '../contract/model.ts';
import { HubError } from '../hub/hub-error.ts';
import {
  type Installed,
  installFromFolder,
  filesIn,
  installFromHub,
  type InstallOptions,
} from '../hub/install.ts';
import { findRepository } from '../hub/repository.ts';
import { PULLED_TASKS, taskIn } from '../hub/selection.ts';
import { type Dtype, DTYPES } from '../pipelines/index.ts';

const USAGE = `npm run pull -- <org>/<name>[@<revision>] [--task <task>] [--dtype <dtype>] [--name <name>] [--models <folder>]
npm run pull -- ./<folder> [--task <task>] [--dtype <dtype>] [--name <name>]

The model is served within two seconds, as the highest version of its name.
Tasks: ${PULLED_TASKS.join(', ')}. Without --task, what the repository says; one with a
model_index.json makes images.
Types: ${DTYPES.join(', ')}. Without --dtype, fp32.
HF_ENDPOINT names another hub, HF_TOKEN is a token for it.`;

const REPOSITORY = /^([\w.-]+\/[\w.-]+?)(?:@([\w./-]+))?$/;

await runCommand(main, USAGE, [HubError, ConfigError]);

async function main(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      task: { type: 'string' },
      dtype: { type: 'string', default: 'fp32' },
      name: { type: 'string' },
      models: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const [source, ...rest] = positionals;
  if (source === undefined || values.help) {
    console.log(USAGE);
    return;
  }
  if (rest.length > 0) throw new UsageError(`one model at a time: what is "${rest.join(' ')}"?`);
  const config = readConfig();
  const dtype = DTYPES.find((each) => each === values.dtype);
  if (dtype === undefined) throw new UsageError(`--dtype must be one of ${DTYPES.join(', ')}`);
  const models = resolve(values.models ?? config.modelFolders[0] ?? 'models');
  const given = { models, dtype, task: values.task, name: values.name };
  const isFolder = /^(?:\.|\/)/.test(source);
  const installed = isFolder
    ? await fromFolder(resolve(source), given)
    : await fromHub(source, config.hub, given);
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  const { folder, version, isNew } = installed;
  console.log(isNew ? `${folder} is version ${version}.` : `${folder} is this very model already.`);
}

interface Given {
  readonly models: string;
  readonly dtype: Dtype;
  readonly task: string | undefined;
  readonly name: string | undefined;
}

async function fromFolder(folder: string, given: Given): Promise<Installed> {
  const found = await stat(folder).catch(() => null);
  if (found?.isDirectory() !== true) throw new HubError(`${folder} is not a folder`);
  const task = given.task ?? taskIn(await filesIn(folder), null);
  return await installFromFolder(folder, optionsOf(given, task, basename(folder)));
}

async function fromHub(
  source: string,
  hub: { readonly endpoint: string; readonly token: string | null },
  given: Given,
): Promise<Installed> {
  const [, name = '', revision = 'main'] = REPOSITORY.exec(source) ?? [];
  if (name === '')
    throw new UsageError(`${source} is neither org/name nor a folder such as ./name`);
  const repository = await findRepository(hub, name, revision);
  const paths = repository.files.map(({ path }) => path);
  const task = given.task ?? taskIn(paths, repository.task);
  const options = optionsOf(given, task, basename(name));
  console.error(`${name} at ${repository.commit}, licence ${repository.license ?? 'not named'}`);
  return await installFromHub(hub, repository, options);
}

function optionsOf(
  { models, dtype, ...given }: Given,
  task: string | null,
  title: string,
): InstallOptions {
  if (task === null || !PULLED_TASKS.includes(task)) {
    const found = task === null ? 'it does not say what it is for' : `it is for ${task}`;
    throw new UsageError(`${found}: give --task, one of ${PULLED_TASKS.join(', ')}`);
  }
  const name = given.name ?? title.toLowerCase().replaceAll(/[^a-z0-9._-]+/g, '-');
  if (!isModelName(name)) {
    throw new UsageError(`${name} cannot be the name of a model: give --name, of a-z 0-9 . _ -`);
  }
  return { models, dtype, task, name, title, onProgress: showProgress };
}

/** One line that changes on a terminal; a line for each whole file elsewhere. */
function showProgress(path: string, bytes: number, ofBytes: number): void {
  const mb = (amount: number) => (amount / 1e6).toFixed(1);
  const line = `${path}: ${mb(bytes)} of ${mb(ofBytes)} MB`;
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`);
  else if (bytes === ofBytes) console.error(line);
}
