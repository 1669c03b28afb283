// What the API server is told of a review: allow, patch or deny; and which failure becomes which.
import { isProblem, problemCodes, type Problem, type ProblemCode } from '../problem.ts';
import type { PatchOperation } from '../core/pod-patch.ts';
import type { PolicyMode } from '../core/pull-policy.ts';

/** Why the verdict is as it is: a label of metrics and a field of log lines. */
export type VerdictReason =
  | 'not-a-pod'
  | 'not-created'
  | 'images-unchanged'
  | 'protected-namespace'
  | 'not-opted-in'
  | 'mirror-pod'
  | 'opted-out'
  | 'no-needs'
  | 'nothing-missing'
  | 'given-credentials'
  | 'gated'
  | 'ungated'
  | 'no-finding'
  | 'finding'
  | 'exempt'
  | 'annotations-malformed'
  | 'has-controller'
  | 'unchanged'
  | 'not-checked'
  | ProblemCode
  | 'fault';

interface Told {
  readonly reason: VerdictReason;
  /** One line each; shown to whoever sent the request. */
  readonly warnings: readonly string[];
  /** Into the API server's audit log; keys are names of at most 63 characters. */
  readonly audit: Readonly<Record<string, string>>;
  /** Fields of the log line: names and hosts only. */
  readonly facts: Readonly<Record<string, unknown>>;
}

export type Allow = Told & { readonly kind: 'allow' };
/** At least one operation. */
export type Patch = Told & { readonly kind: 'patch'; readonly operations: readonly PatchOperation[] };
/** `status` is an HTTP status of at least 400. */
export type Deny = Told & { readonly kind: 'deny'; readonly status: number; readonly message: string };
export type Verdict = Allow | Patch | Deny;

/** No verdict can be found now: the API server is asked to come again. */
export interface NoVerdict {
  readonly kind: 'none';
  readonly problem: Problem;
}

/** Where a review came in: its path without the slash. */
export type ReviewPath = 'mutate' | `validate/${Exclude<PolicyMode, 'off'>}`;

type Extra = Partial<Pick<Told, 'warnings' | 'audit' | 'facts'>>;

const NOTHING = { warnings: [], audit: {}, facts: {} } as const;

export function allow(reason: VerdictReason, extra: Extra = {}): Allow {
  return { kind: 'allow', reason, ...NOTHING, ...extra };
}

/** Allows without a patch if there is nothing to change. */
export function patch(
  reason: VerdictReason,
  operations: readonly PatchOperation[],
  extra: Extra = {},
): Allow | Patch {
  if (operations.length === 0) return allow(reason, extra);
  return { kind: 'patch', reason, operations, ...NOTHING, ...extra };
}

/** A denial by the policy, or because the registry refuses: 403. `message` says what to do. */
export function deny(reason: VerdictReason, message: string, extra: Extra = {}): Deny {
  return { kind: 'deny', reason, status: 403, message, ...NOTHING, ...extra };
}

/**
 * What a failure becomes. A pod whose references or policy cannot be known is refused, and its owner tries again; what
 * is over in a second is asked again; where a path only warns, nobody is held up. Of another kind than a pod nothing is
 * held up on any path: a new namespace must get its account whatever happens.
 */
export function verdictForFailure(path: ReviewPath, error: unknown, kind = 'Pod'): Verdict | NoVerdict {
  const problem = isProblem(error) ? error : undefined;
  switch (kind === 'Pod' ? path : 'validate/audit') {
    case 'mutate':
    case 'validate/enforce':
      return problem && isPassing(problem) ? { kind: 'none', problem } : failed(problem);
    case 'validate/warn':
    case 'validate/audit':
      return allow(problem?.code ?? 'fault', { audit: { 'not-checked': problem?.code ?? 'fault' } });
  }
}

function isPassing({ code }: Problem): boolean {
  return problemCodes[code].retry === 'soon';
}

function failed(problem: Problem | undefined): Deny {
  const message = problem?.message ?? 'keyless-pull could not judge this pod; its log says why';
  const status = Math.max(400, problem ? problemCodes[problem.code].status : 500);
  return { ...deny(problem?.code ?? 'fault', message), status };
}
