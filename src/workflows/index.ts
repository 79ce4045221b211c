export { batchWorkflow } from './batch.ts';
export { predictionWorkflow } from './prediction.ts';
export { webhookDeliveryWorkflow } from './webhook-delivery.ts';
