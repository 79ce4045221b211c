export { batchWorkflow } from './batch.ts';
export { predictionWorkflow } from './prediction.ts';
export { sweepWorkflow } from './sweep.ts';
export { webhookDeliveryWorkflow } from './webhook-delivery.ts';
