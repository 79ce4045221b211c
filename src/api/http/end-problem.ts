import { type FailureCode } from '../../contract/failure.ts';
import type { Accepted, Ended } from '../../contract/prediction.ts';
import { Problem, type ProblemCode } from './problems.ts';

/** A prediction that ended without an output, as the problem that its client sees. */
export function endProblem({ id }: Accepted, ended: Exclude<Ended, { status: 'succeeded' }>) {
  if (ended.status === 'canceled') return new Problem('not_ready', `${id} was canceled`);
  const { code, message } = ended.error;
  return new Problem(problemCode(code), `${id} failed (${code}): ${message}`, {
    members: { prediction_id: id },
  });
}

function problemCode(code: FailureCode): ProblemCode {
  switch (code) {
    case 'output_too_large': // the request itself asks for too much
      return 'invalid_input';
    case 'invalid_input':
    case 'model_unavailable':
    case 'storage_unavailable':
    case 'payload_corrupt':
      return code;
    case 'worker_lost':
    case 'queue_timeout':
    case 'deadline_exceeded':
      return 'model_unavailable';
    default:
      return 'inference_failed';
  }
}
