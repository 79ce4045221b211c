/*
 * npm run bench [-- speed|memory|recovery …]: starts a stack of its own and prints what bench/README.md
 * quotes.
 */
import { measureMemory } from './memory.ts';
import { measureRecovery } from './recovery.ts';
import { measureSpeed } from './speed.ts';
import { findTemporal } from '../src/dev/temporal-binary.ts';
import { measureBurnRate } from '../src/dev/burn-rate.ts';

const PARTS = { memory: measureMemory, speed: measureSpeed, recovery: measureRecovery };

process.env['BUZZER_TEST_TEMPORAL'] ??= await findTemporal(process.env['PATH'] ?? '');
process.env['BUZZER_TEST_BURN_RATE'] ??= String(await measureBurnRate('dist/model/process.js'));
const wanted = process.argv.slice(2);
for (const [name, measure] of Object.entries(PARTS)) {
  if (wanted.length === 0 || wanted.includes(name)) await measure();
}
process.exit(0);
