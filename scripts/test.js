/* `npm test [-- jest arguments]`: install, build, find a Temporal server, and run every test. */
import { spawnSync } from 'node:child_process';
import { prepare } from './prepare.js';

prepare();
const { findTemporal } = await import('../dist/dev/temporal-binary.js');
const temporal = await findTemporal(process.env.PATH ?? '');
const jest = ['node_modules/jest/bin/jest.js', '--runInBand', ...process.argv.slice(2)];
const { status } = spawnSync(process.execPath, jest, {
  stdio: 'inherit',
  env: { ...process.env, BUZZER_TEST_TEMPORAL: temporal },
});
process.exit(status ?? 1);
