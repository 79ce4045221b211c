/* The changeInfer activity: other options for an infer activity that waits. */
import type { ChangeInferRequest } from '../contract/messages.ts';

export type ChangeInferActivities = ReturnType<typeof createChangeInferActivities>;

/** `predictions.changeInfer` does nothing when there is no such activity any more. */
export const createChangeInferActivities = (predictions: {
  changeInfer(request: ChangeInferRequest): Promise<void>;
}) => ({
  /** May be repeated, because it sets the options and adds nothing. */
  async changeInfer(request: ChangeInferRequest): Promise<void> {
    await predictions.changeInfer(request);
  },
});
