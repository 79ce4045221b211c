/* `npm start`: install, build, and hand over to what was built. */
import { prepare } from './prepare.js';

prepare();
await import('../dist/dev/start.js');
