import { readFile } from 'node:fs/promises';
import { ConfigError, readConfig, SETTING_NAMES } from '../../src/config.ts';

test('an empty environment is the zero-config default on loopback', () => {
  expect(readConfig({})).toMatchObject({
    host: '127.0.0.1',
    port: 8080,
    publicUrl: 'http://127.0.0.1:8080',
    device: 'cpu',
    deadlineMs: 86_400_000,
    engineInlineLimit: 2048,
    temporal: { namespace: 'buzzer', isExternal: false, connection: { address: '127.0.0.1:7233' } },
  });
});

test('what nobody has set follows another setting, or is not set', () => {
  const { queueTtlMs, inferenceMetrics } = readConfig({ BUZZER_DEADLINE: '48h' });
  const chosen = readConfig({ BUZZER_METRICS_PORT: '9092' }).inferenceMetrics;

  expect(queueTtlMs).toBe(48 * 3_600_000);
  expect([inferenceMetrics.isPortFixed, chosen.isPortFixed]).toEqual([false, true]);
});

test('every setting has its line in the docs, and every line there its setting', async () => {
  const text = await readFile('docs/configuration.md', 'utf8');
  const entries = text.split('\n').flatMap((line) => /^- (`BUZZER_[^(]*)\(/.exec(line)?.[1] ?? []);
  const documented = entries.flatMap((names) => names.match(/BUZZER_\w+/g) ?? []);

  expect(documented.toSorted()).toEqual([...SETTING_NAMES].toSorted());
});

test("Temporal's standard environment is read as it is", () => {
  const { temporal } = readConfig({
    TEMPORAL_ADDRESS: 'temporal.example:7233',
    TEMPORAL_NAMESPACE: 'prod',
  });

  expect(temporal).toMatchObject({
    isExternal: true,
    namespace: 'prod',
    connection: { address: 'temporal.example:7233' },
  });
});

test('examples are served on loopback only', () => {
  const open = {
    BUZZER_HOST: '0.0.0.0',
    BUZZER_ALLOW_ANONYMOUS: 'true',
    BUZZER_SECRET_KEY: Buffer.alloc(32).toString('base64'),
  };

  expect(readConfig({}).modelFolders).toHaveLength(2);
  expect(readConfig(open).modelFolders).toHaveLength(1);
});

test.each([
  [{ BUZZER_PORT: '70000' }, 'BUZZER_PORT=70000: must be a port'],
  [{ BUZZER_MAX_UPLOAD: '1GB' }, 'BUZZER_MAX_UPLOAD=1GB: must be a size'],
  [{ BUZZER_DEVICE: 'gpu' }, 'BUZZER_DEVICE=gpu: must be cpu, webgpu or cuda:<number>'],
  [{ BUZZER_ALLOW_ANONYMOUS: 'yes' }, 'BUZZER_ALLOW_ANONYMOUS=yes: must be true or false'],
  [{ BUZZER_PUBLIC_URL: 'ftp://x' }, 'BUZZER_PUBLIC_URL=ftp://x: must be an http(s) URL'],
  [{ BUZZER_LOG_LEVEL: 'loud' }, 'BUZZER_LOG_LEVEL=loud: must be one of'],
  [{ BUZZER_QUEUE_TTL: '0s' }, 'BUZZER_QUEUE_TTL=0s: must be a duration'],
  [{ BUZZER_SECRET_KEY: 'aGVsbG8=' }, 'BUZZER_SECRET_KEY: must be 32 bytes in base64'],
  [{ BUZZER_OUTBOUND_ALLOW: '10.0.0.0/99' }, '10.0.0.0/99 is not a host or a range'],
  [{ BUZZER_WEBHOOK_SCHEDULE: '0s,soon' }, 'BUZZER_WEBHOOK_SCHEDULE=0s,soon: must be at most 20'],
  [{ BUZZER_WEBHOOK_SCHEDULE: '0s,25h' }, 'none over 24h'],
  [{ BUZZER_PROT: '1' }, 'BUZZER_PROT: no such setting; did you mean BUZZER_PORT?'],
  [{ BUZZER_HOST: '192.0.2.1' }, 'BUZZER_HOST=192.0.2.1: 192.0.2.1 is not a loopback address'],
])('%j is refused with a line that names it', (environment, message) => {
  expect(() => readConfig(environment)).toThrow(ConfigError);
  expect(() => readConfig(environment)).toThrow(message);
});

test('an address that others reach needs a key for its secrets, and a refusal does not show it', () => {
  const open = { BUZZER_HOST: '192.0.2.1', BUZZER_ALLOW_ANONYMOUS: 'true' };

  expect(() => readConfig(open)).toThrow('BUZZER_SECRET_KEY: is needed');
  expect(() => readConfig({ BUZZER_SECRET_KEY: 'canary' })).toThrow(
    expect.objectContaining({ message: expect.not.stringContaining('canary') as unknown }),
  );
});
