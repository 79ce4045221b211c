/* What a model process may not do, as far as this machine lets us say so. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { confined, missingIn, probeConfinement } from '../../src/runtime/confinement.ts';
import { affine, modelProcesses, Service } from '../support/service.ts';

let service: Service;
let pid: number;

beforeAll(async () => {
  service = await Service.start({
    AWS_SECRET_ACCESS_KEY: 'a secret of somebody else',
    BUZZER_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'),
    LD_LIBRARY_PATH: '/usr/local/cuda/lib64',
  });
  await service.ended((await service.submit('affine', affine())).id);
  [pid = 0] = modelProcesses(service.inference.pid);
});
afterAll(async () => await service.close());

const procfile = (name: string): string => readFileSync(`/proc/${pid}/${name}`, 'utf8');

test('it knows nobody’s secrets, and what its libraries need', () => {
  const environment = procfile('environ').split('\0');
  expect(environment.join()).not.toMatch(/SECRET|BUZZER_|TEMPORAL_/);
  expect(environment).toContain('LD_LIBRARY_PATH=/usr/local/cuda/lib64');
});

test('it has no network, no capabilities and no way to change the models, or the log says so', async () => {
  const folders = ['models', 'examples/models'].map((folder) => resolve(folder));
  const can = await probeConfinement(folders, process.env['PATH'] ?? '');
  const missing = missingIn(can);
  if (missing === null) expect(service.inference.output).not.toContain('does not let us');
  else expect(service.inference.output).toContain(missing);
  if (can.hasNoNetwork) {
    const devices = procfile('net/dev')
      .split('\n')
      .slice(2)
      .map((line) => line.split(':')[0]?.trim());
    expect(devices.filter((name) => name !== '')).toEqual(['lo']);
  }
  if (can.hasNoCapabilities) {
    expect(procfile('status')).toMatch(/CapEff:\t0+\n[^]*CapBnd:\t0+\n/);
    expect(procfile('status')).toMatch(/NoNewPrivs:\t1/);
  }
  for (const folder of can.readOnly) {
    const mount = procfile('mounts')
      .split('\n')
      .find((line) => line.includes(` ${folder} `));
    expect(mount).toMatch(/ ro,/);
  }
});

test('where the tools for it are missing the command stays what it is, and that is said', async () => {
  const node = { file: 'node', args: ['process.js'] };
  const can = await probeConfinement(['/models'], '/nowhere');
  expect(missingIn(can)).toBe(
    'reach the network, write to the models, use the capabilities of its user',
  );
  expect(confined(node, '/nowhere', can)).toEqual(node);
});
