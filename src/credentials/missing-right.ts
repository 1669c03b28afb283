// What people are told when RBAC keeps the worker from a namespace: which manifest gives it the right.
import { isProblem, Problem } from '../problem.ts';

/** The same problem, with the cure in its sentence where a right of ours is missing. */
export function withCure(problem: Problem): Problem {
  const { missingRight } = problem.details;
  if (missingRight === undefined || !isProblem(problem, 'cluster-refused')) return problem;
  return new Problem(
    'cluster-refused',
    `the worker has no right to ${missingRight}: webhook-config/per-namespace/namespace gives it in one namespace, ` +
      'webhook-config/rbac.yaml in all of them',
    { cause: problem, details: problem.details },
  );
}
