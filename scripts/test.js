/* `npm test [-- jest arguments]`: install, build, find a Temporal server, and run every test. */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { prepare } from './prepare.js';

prepare();
const { findTemporal } = await import('../dist/dev/temporal-binary.js');
const { measureBurnRate } = await import('../dist/dev/burn-rate.js');
// Most tests wait most of the time, so one more file than there are cores keeps the cores busy.
const workers = Math.min(8, availableParallelism() + 1);
const jest = ['node_modules/jest/bin/jest.js', `--maxWorkers=${workers}`, ...process.argv.slice(2)];
const { status } = spawnSync(process.execPath, jest, {
  stdio: 'inherit',
  env: {
    ...process.env,
    BUZZER_TEST_TEMPORAL: await findTemporal(process.env.PATH ?? ''),
    BUZZER_TEST_BURN_RATE: String(await measureBurnRate()),
  },
});
process.exit(status ?? 1);
