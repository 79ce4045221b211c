/* `npm test [-- jest arguments]`: install, build, find a Temporal server, and run every test. */
import { spawnSync } from 'node:child_process';
import { prepare } from './prepare.js';

prepare();
const { findTemporal } = await import('../dist/dev/temporal-binary.js');
const { measureBurnRate } = await import('../dist/dev/burn-rate.js');
const WORKERS = 3;
const jest = ['node_modules/jest/bin/jest.js', `--maxWorkers=${WORKERS}`, ...process.argv.slice(2)];
const { status } = spawnSync(process.execPath, jest, {
  stdio: 'inherit',
  env: {
    ...process.env,
    BUZZER_TEST_TEMPORAL: await findTemporal(process.env.PATH ?? ''),
    BUZZER_TEST_BURN_RATE: String(await measureBurnRate()),
  },
});
process.exit(status ?? 1);
