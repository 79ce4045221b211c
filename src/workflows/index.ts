export { predictionWorkflow } from './prediction.ts';
