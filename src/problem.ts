// The one error class of this program and the one table of its codes.

/**
 * What a caller may expect from trying again: `soon` it may pass by itself; `waiting` it should, in minutes; `later` and
 * `rarely` somebody must mend it first, here or at the other side; `no` never.
 */
export type Retry = 'no' | 'soon' | 'waiting' | 'later' | 'rarely';

/**
 * Every failure this program can name. `status` is the HTTP status that fits, 0 where none does; `means` is the
 * sentence of the reference's table. Codes are a contract: they stand in conditions, events, metrics and logs.
 */
// oxfmt-ignore
export const problemCodes = {
  'config-invalid': { retry: 'no', status: 0, means: 'the configuration was refused; every fault is listed' },
  'not-built': { retry: 'no', status: 0, means: 'the configuration asks for a part that this version lacks' },
  'usage': { retry: 'no', status: 0, means: 'the command line was wrong' },
  'file-unreadable': { retry: 'no', status: 0, means: 'a file that was named cannot be read' },
  'certificate-unreadable': { retry: 'no', status: 0, means: 'the serving certificate or its key cannot be used' },
  'certificate-missing': { retry: 'later', status: 503, means: 'the Secret for the serving certificate is not there, or still empty' },
  'port-taken': { retry: 'no', status: 0, means: 'another program listens on the port' },
  'review-malformed': { retry: 'no', status: 400, means: 'the request is no AdmissionReview v1' },
  'review-too-large': { retry: 'no', status: 413, means: 'the request body is over the limit' },
  'request-malformed': { retry: 'no', status: 0, means: "what the kubelet sent to the credential provider is no CredentialProviderRequest v1" },
  'token-unusable': { retry: 'later', status: 0, means: 'the ServiceAccount token that the kubelet sent is missing, expired or for another audience' },
  'parameters-unusable': { retry: 'later', status: 0, means: "the account's annotations lack what the rule needs, or say it in another form" },
  'not-ready': { retry: 'soon', status: 503, means: 'the process is starting, overloaded or draining' },
  'image-unparseable': { retry: 'no', status: 422, means: 'an image reference does not follow the grammar' },
  'service-account-missing': { retry: 'soon', status: 503, means: "the pod's ServiceAccount does not exist (yet)" },
  'too-many-needs': { retry: 'no', status: 422, means: 'a pod or an account asks for more credentials than allowed' },
  'token-refused': { retry: 'later', status: 403, means: 'the API server will not issue this token to us' },
  'exchange-refused': { retry: 'rarely', status: 403, means: "the registry's token service said no" },
  'exchange-waiting': { retry: 'waiting', status: 403, means: 'the trust was probably just set up and is not known everywhere yet' },
  'exchange-stale': { retry: 'later', status: 403, means: "the registry's token service calls a fresh token expired or not valid yet: the clocks differ" },
  'exchange-throttled': { retry: 'later', status: 429, means: "the registry's token service asks us to wait" },
  'exchange-unreachable': { retry: 'soon', status: 503, means: "the registry's token service cannot be reached or is failing" },
  'exchange-malformed': { retry: 'rarely', status: 502, means: "the registry's token service gave an answer that does not fit its protocol" },
  'credential-already-expired': { retry: 'rarely', status: 502, means: 'the registry answered with a credential that is already expired' },
  'credential-expired': { retry: 'soon', status: 503, means: 'renewal failed until the end of the credential' },
  'secret-not-ours': { retry: 'later', status: 409, means: 'a Secret of the needed name exists and is not ours; it is never touched' },
  'rule-unknown': { retry: 'no', status: 404, means: 'no rule of this name is in the configuration any more' },
  'namespace-refused': { retry: 'no', status: 403, means: 'the namespace is terminating, protected or no longer opted in' },
  'quota-exceeded': { retry: 'later', status: 403, means: 'a ResourceQuota of the namespace leaves no room for the object' },
  'cluster-refused': { retry: 'later', status: 403, means: 'the API server refused a call: a right is missing or a policy denied it' },
  'cluster-conflict': { retry: 'soon', status: 409, means: 'an object changed or exists already' },
  'cluster-missing': { retry: 'soon', status: 404, means: 'an object does not exist' },
  'cluster-throttled': { retry: 'soon', status: 429, means: 'the API server asks us to wait' },
  'cluster-unreachable': { retry: 'soon', status: 503, means: 'the API server cannot be reached or is failing' },
  'fence-missing': { retry: 'later', status: 503, means: 'a ValidatingAdmissionPolicy that fences our rights is missing' },
  'lease-lost': { retry: 'soon', status: 503, means: 'another worker leads' },
  'deadline': { retry: 'soon', status: 504, means: "the caller's time was up" },
  'login-refused': { retry: 'no', status: 401, means: 'the token server did not accept the user and password' },
  'scope-malformed': { retry: 'no', status: 400, means: 'the token server could not read the scope asked for' },
} as const satisfies Record<string, { retry: Retry; status: number; means: string }>;

export type ProblemCode = keyof typeof problemCodes;

/** Facts about a failure that may be logged and shown: never a token, a body or a URL with a query. */
export interface ProblemDetails {
  /** Wait at least this many milliseconds before trying again (a server's Retry-After). */
  readonly retryAfterMs?: number;
  /** Every fault, one sentence each, where there may be several. */
  readonly faults?: readonly string[];
  /** HTTP status or Kubernetes reason of the other side. */
  readonly upstream?: string;
  /** What we have no right to do, as `create pullcredentials in namespace team`: RBAC said no, and no policy. */
  readonly missingRight?: string;
}

/**
 * A failure that somebody can act on. The message is one sentence, safe to show to any user; what came from outside
 * stays in `cause` and is never printed.
 */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: ProblemCode;
  readonly details: ProblemDetails;

  constructor(
    code: ProblemCode,
    message: string,
    options: { cause?: unknown; details?: ProblemDetails } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}

export function isProblem(error: unknown, ...codes: ProblemCode[]): error is Problem {
  return error instanceof Problem && (codes.length === 0 || codes.includes(error.code));
}
