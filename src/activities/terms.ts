/* The changeWaiting activity: other options for an infer activity that waits. */
import type { ChangeWaitingRequest, InferOptions } from '../contract/messages.ts';

export type TermsActivities = ReturnType<typeof createTermsActivities>;

/** `changeInfer` does nothing when that activity is no longer there. */
export const createTermsActivities = (engine: {
  changeInfer(id: string, options: InferOptions): Promise<void>;
}) => ({
  /** May be repeated: it sets, and adds nothing. */
  async changeWaiting({ id, options }: ChangeWaitingRequest): Promise<void> {
    await engine.changeInfer(id, options);
  },
});
