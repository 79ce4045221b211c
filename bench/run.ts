/*
 * npm run bench [-- batching|ocr|memory …]: starts what it needs and prints what
 * bench/README.md quotes.
 */
import { measureBurnRate } from '../src/dev/burn-rate.ts';
import { findTemporal } from '../src/dev/temporal-binary.ts';
import { measureAcceptance, measureBurst } from './acceptance.ts';
import { measureBatches } from './batches.ts';
import { measureDocumentRun, measureDocuments } from './documents.ts';
import { measureDrain } from './drain.ts';
import { measureFiles } from './files.ts';
import { measureGeneration } from './generation.ts';
import { measureImages } from './images.ts';
import { measureListeners } from './listeners.ts';
import { measureMemory } from './memory.ts';
import { measureObjectStore } from './object-store.ts';
import { measureOcrAgainstPeer } from './ocr-peer.ts';
import { measureRecovery } from './recovery.ts';
import {
  measureBatching,
  measureBoundary,
  measureHeartbeats,
  measureLeaks,
  measureReplicas,
} from './runtime.ts';
import { measureSentiment } from './sentiment.ts';
import { measureSpeed } from './speed.ts';
import { measureWebhooks } from './webhooks.ts';

const PARTS = {
  batching: measureBatching,
  replicas: measureReplicas,
  boundary: measureBoundary,
  leaks: measureLeaks,
  heartbeats: measureHeartbeats,
  memory: measureMemory,
  speed: measureSpeed,
  recovery: measureRecovery,
  webhooks: measureWebhooks,
  listeners: measureListeners,
  acceptance: measureAcceptance,
  burst: measureBurst,
  drain: measureDrain,
  sentiment: measureSentiment,
  generation: measureGeneration,
  objects: measureObjectStore,
  batches: measureBatches,
  files: measureFiles,
  documents: measureDocuments,
  'document-run': measureDocumentRun,
  images: measureImages,
  ocr: measureOcrAgainstPeer,
};

process.env['BUZZER_TEST_TEMPORAL'] ??= await findTemporal(process.env['PATH'] ?? '');
process.env['BUZZER_TEST_BURN_RATE'] ??= String(await measureBurnRate('dist/runtime/process.js'));
const wanted = process.argv.slice(2);
for (const [name, measure] of Object.entries(PARTS)) {
  if (wanted.length === 0 || wanted.includes(name)) await measure();
}
process.exit(0);
