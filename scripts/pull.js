/* `npm run pull`: install, build, and hand over to what was built. */
import { prepare } from './prepare.js';

prepare();
await import('../dist/cli/pull.js');
