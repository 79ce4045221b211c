/* The OpenAPI document: valid, whole, and what the API really does. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { OPERATIONS } from '../../src/api/operations.ts';
import { addLanguageModel } from '../support/language-model.ts';
import { TestKeys } from '../support/keys.ts';
import { pythonWith } from '../support/python.ts';
import { affine, Service } from '../support/service.ts';

interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, { operationId: string; security?: object[] }>>;
}

let keys: TestKeys;
let models: string;
let service: Service;
let authorization: string;

beforeAll(async () => {
  keys = await TestKeys.create();
  const { headers } = await keys.add('acme', ['predict', 'read', 'admin']);
  authorization = headers.Authorization;
  models = await mkdtemp(join(tmpdir(), 'buzzer-models-'));
  for (const name of ['affine', 'burn', 'mlp']) {
    await symlink(resolve('examples/models', name), join(models, name));
  }
  await addLanguageModel(models, 'babble', { context: 64 }); // which ends soon, whatever is asked for
  service = await Service.start({
    BUZZER_KEYS_FILE: keys.path,
    BUZZER_MODELS: `models,${models}`,
  });
});
afterAll(async () => {
  await service.close();
  await keys.close();
  await rm(models, { recursive: true });
});

const read = async (): Promise<Document> =>
  (await (
    await fetch(`${service.url}/openapi.json`, { headers: { Authorization: authorization } })
  ).json()) as Document;

test('an independent validator finds it valid', async () => {
  const file = join(service.dataDir, 'openapi.json');
  await writeFile(file, JSON.stringify(await read()));
  const validator = 'node_modules/@seriousme/openapi-schema-validator/bin/validate-api-cli.js';
  const { stdout } = await promisify(execFile)(process.execPath, [validator, file]);
  expect(stdout).toContain('"valid": true');
});

test('every operation is in it, and each that needs a key says so', async () => {
  const { paths } = await read();
  for (const { id, method, path, scope } of OPERATIONS) {
    if (['getOpenApi', 'getDocs', 'getDocsAsset', 'getRoot'].includes(id)) continue;
    const described = paths[path]?.[method.toLowerCase()];
    expect([path, described?.operationId]).toEqual([path, id]);
    expect([path, described?.security !== undefined]).toEqual([path, scope !== null]);
  }
});

test("the models' own schemas are in it", async () => {
  const { paths } = await read();
  const ocr = JSON.stringify(paths['/v1/models/ocr/predictions']);
  expect(ocr).toContain('"image"');
  expect(ocr).toContain('image/png');
});

test('the page needs nothing from anybody else', async () => {
  const page = await fetch(`${service.url}/docs`);
  expect(page.headers.get('Content-Security-Policy')).toContain("script-src 'self'");
  const html = await page.text();
  const assets = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url ?? '');
  expect(assets).toHaveLength(4);
  for (const url of assets) {
    expect(url).toMatch(/^\/docs\//);
    expect((await fetch(`${service.url}${url}`)).status).toBe(200);
  }
  expect((await fetch(`${service.url}/docs/package.json`)).status).toBe(404);
});

test('schemathesis finds no 5xx and no answer that is not in it', async () => {
  const python = await pythonWith('schemathesis', 'test/clients/schemathesis-requirements.txt');
  const order = { model: 'affine', input: affine() };
  const known = await service.post(order, { Authorization: authorization, Prefer: 'wait=30' });
  expect(known.status).toBe(200);
  const checks = [
    'not_a_server_error',
    'status_code_conformance',
    'content_type_conformance',
    'response_headers_conformance',
    'response_schema_conformance',
    'unsupported_method',
    'allow_header_conformance',
    'use_after_free',
    'ensure_resource_availability',
    'ignored_auth',
  ];
  // Completions are read and answered by the same code as conversations, and each costs a text.
  const output = await new Promise<string>((resolve) => {
    execFile(
      python,
      `-m schemathesis.cli run ${service.url}/openapi.json --checks ${checks.join(',')} --exclude-path /openai/v1/completions --phases examples,coverage,fuzzing --max-examples 5 --seed 1 --request-timeout 30 --warnings off --no-color`
        .split(' ')
        .concat('--header', `Authorization: ${authorization}`),
      { maxBuffer: 64 * 1024 * 1024, cwd: service.dataDir }, // it leaves a folder behind
      (_error, stdout, stderr) => resolve(stdout + stderr),
    );
  });
  expect(output).toMatch(/Tested: \d{2}/);
  expect(output.split('= FAILURES =')[1]?.slice(0, 5000)).toBeUndefined();
  expect(output).not.toMatch(/ERRORS|[1-9]\d* failures?/);
}, 300_000);
