import { ConfigError, readConfig } from '../../src/config.ts';

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
  const open = { BUZZER_HOST: '0.0.0.0', BUZZER_ALLOW_ANONYMOUS: 'true' };

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
  [{ BUZZER_PROT: '1' }, 'BUZZER_PROT: no such setting'],
  [{ BUZZER_HOST: '192.0.2.1' }, 'BUZZER_HOST=192.0.2.1: 192.0.2.1 is not a loopback address'],
])('%j is refused with a line that names it', (environment, message) => {
  expect(() => readConfig(environment)).toThrow(ConfigError);
  expect(() => readConfig(environment)).toThrow(message);
});
