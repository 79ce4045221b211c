/* The changeInfer activity: other options for an infer activity that waits. */
import type { ChangeInferRequest } from '../contract/messages.ts';

export type TermsActivities = ReturnType<typeof createTermsActivities>;

/** `engine.changeInfer` does nothing when there is no such activity any more. */
export const createTermsActivities = (engine: {
  changeInfer(request: ChangeInferRequest): Promise<void>;
}) => ({
  /** May be repeated: it sets, and adds nothing. */
  async changeInfer(request: ChangeInferRequest): Promise<void> {
    await engine.changeInfer(request);
  },
});
