// Foreign errors of the API server, translated once: the middle never sees another's error class.
import { Problem } from '../problem.ts';
import { fieldsOf } from '../core/pod-view.ts';

/** A call that got no answer. */
export function transportProblem(cause: unknown, signal: AbortSignal): Problem {
  if (cause instanceof Problem) return cause;
  if (signal.aborted) return new Problem('deadline', 'the call to the API server ran out of time', { cause });
  return new Problem('cluster-unreachable', 'the API server cannot be reached', { cause });
}

/**
 * Of a Kubernetes Status only reason, causes and the name of a policy are kept: its message may quote the very value
 * that was refused.
 */
export function statusProblem(
  status: number,
  body: unknown,
  retryAfter: unknown,
  { method, path }: { readonly method: string; readonly path: string },
): Problem {
  const { reason, message, details } = fieldsOf(body);
  const text = typeof message === 'string' ? message : '';
  const causes = fieldsOf(details)['causes'];
  const policy = /ValidatingAdmissionPolicy '([a-z0-9.-]+)'/.exec(text)?.[1];
  const upstream = [
    String(status),
    typeof reason === 'string' ? reason : '',
    policy ? `policy ${policy}` : '',
  ]
    .filter(Boolean)
    .join(' ');
  const what = `${method} ${path}`;
  const make = (code: Problem['code'], sentence: string, retryAfterMs?: number) =>
    new Problem(code, sentence, {
      details: { upstream, ...(retryAfterMs !== undefined && { retryAfterMs }) },
    });
  if (status === 404) return make('cluster-missing', `${what}: the object does not exist`);
  if (status === 409) return make('cluster-conflict', `${what}: the object exists already or has changed`);
  if (status === 429)
    return make(
      'cluster-throttled',
      `${what}: the API server asks us to wait`,
      Math.max(1, Number(retryAfter) || 1) * 1000,
    );
  if (
    status === 403 &&
    Array.isArray(causes) &&
    causes.some((cause) => fieldsOf(cause)['reason'] === 'NamespaceTerminating')
  ) {
    return make('namespace-refused', `${what}: the namespace is terminating`);
  }
  if (status === 403 && text.includes('exceeded quota'))
    return make('quota-exceeded', `${what}: a ResourceQuota leaves no room`);
  if (status === 401)
    return make('cluster-refused', `${what}: the API server does not accept our own credentials`);
  if (status < 500) {
    return make(
      'cluster-refused',
      policy ? `${what}: policy ${policy} denied it` : `${what}: refused with ${upstream}`,
    );
  }
  return make('cluster-unreachable', `${what}: the API server failed with ${upstream}`);
}
