// How a failure looks on the wire: the registry's error list, which clients print, and OAuth's two fields beside it.
import { isProblem, problemCodes } from '../problem.ts';

/** A failure as it is answered. The message is safe to show to any user. */
export interface ErrorAnswer {
  readonly status: number;
  readonly message: string;
  /** RFC 6749 section 5.2. */
  readonly oauthError: string;
  /** Our own code, where there is one. */
  readonly code?: string;
  readonly retryAfterMs?: number;
}

/** RFC 9110 wants whole seconds; never 0, which some clients read as "at once, for ever". */
const SHORTEST_RETRY_MS = 1000;

/** What a Problem is answered with; anything else is our bug, and only that is said. */
export function errorAnswerFor(error: unknown): ErrorAnswer {
  if (!isProblem(error))
    return { status: 500, message: 'something went wrong here', oauthError: 'server_error' };
  const { status, retry } = problemCodes[error.code];
  return {
    // A code without a status of its own is about our files or our start, so it is our fault.
    status: status === 0 ? 500 : status,
    message: error.message,
    oauthError: oauthErrorFor(error.code, status),
    code: error.code,
    ...(retry === 'soon' && { retryAfterMs: Math.max(error.details.retryAfterMs ?? 0, SHORTEST_RETRY_MS) }),
  };
}

/** The body, in the form that docker, containerd and go-containerregistry show to their users (OCI distribution-spec). */
export function errorBody({ status, message, oauthError, code }: ErrorAnswer): object {
  const error = { code: registryCode(status), message, ...(code !== undefined && { detail: { code } }) };
  return { errors: [error], error: oauthError, error_description: message };
}

function oauthErrorFor(code: string, status: number): string {
  if (code === 'login-refused') return 'invalid_grant';
  if (code === 'scope-malformed') return 'invalid_scope';
  return status === 503 || status === 504 ? 'temporarily_unavailable' : 'server_error';
}

function registryCode(status: number): string {
  switch (status) {
    case 400:
      return 'UNSUPPORTED';
    case 401:
      return 'UNAUTHORIZED';
    case 429:
      return 'TOOMANYREQUESTS';
    case 503:
      return 'UNAVAILABLE';
    default:
      return 'UNKNOWN';
  }
}
