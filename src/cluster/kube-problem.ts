// Foreign errors of the API server, translated once: the middle never sees another's error class.
import { isProblem, Problem } from '../problem.ts';
import { fieldsOf, listOf, textOf } from '../core/fields.ts';

/** A call that got no answer. */
export function transportProblem(cause: unknown, signal: AbortSignal): Problem {
  if (cause instanceof Problem) return cause;
  if (signal.aborted) return new Problem('deadline', 'the call to the API server ran out of time', { cause });
  return new Problem('cluster-unreachable', transportSentence(cause), { cause });
}

/** Codes of node:tls and OpenSSL for a certificate that does not prove what it should. */
const CERTIFICATE_CODE = /^(?:ERR_TLS_CERT|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_(?:VERIFY|GET_ISSUER))/;

/** The API server did not prove to be the one we trust, so that nothing was sent. */
export function isCertificateFault(cause: unknown): boolean {
  return CERTIFICATE_CODE.test(codeOf(cause));
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : '';
}

function transportSentence(cause: unknown): string {
  const code = codeOf(cause);
  if (isCertificateFault(cause)) {
    return `the API server's certificate is not accepted (${code}): check the authority that the kubeconfig names`;
  }
  if (code === 'ECONNREFUSED') return 'the API server cannot be reached: nothing listens at its address';
  return 'the API server cannot be reached';
}

/** What Kubernetes' own reasons look like; anything else is foreign text. */
const REASON = /^[A-Za-z]{1,64}$/;
/** Words in the messages of our own fences (webhook-config/fences.yaml) that speak of the namespace, not of the object. */
const NAMESPACE_FENCE = /with the label keyless-pull\.dev\/inject|in Kubernetes' own namespaces/;
/** How the API server itself says that a right is missing, whoever its authorizers are; admission never says it so. */
const MISSING_RIGHT =
  /^[a-z0-9.-]+(?: "[^"]*")? is forbidden: User "[^"]*" cannot ([a-z]+) resource "([a-z./]+)" in API group "[^"]*"(?: in the namespace "([a-z0-9-]+)")?/;

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
  const text = textOf(message);
  const causes = fieldsOf(details)['causes'];
  const policy = /ValidatingAdmissionPolicy '([a-z0-9.-]+)'/.exec(text)?.[1];
  const isNamespaceFence = policy !== undefined && NAMESPACE_FENCE.test(text);
  const upstream = [
    String(status),
    typeof reason === 'string' && REASON.test(reason) ? reason : '',
    policy ? `policy ${policy}` : '',
  ]
    .filter(Boolean)
    .join(' ');
  const missingRight = status === 403 && policy === undefined ? rightIn(text) : undefined;
  const what = `${method} ${path}`;
  const make = (code: Problem['code'], sentence: string, retryAfterMs?: number) =>
    new Problem(code, sentence, {
      details: {
        upstream,
        ...(retryAfterMs !== undefined && { retryAfterMs }),
        ...(missingRight !== undefined && { missingRight }),
      },
    });
  if (status === 404) return make('cluster-missing', `${what}: the object does not exist`);
  if (status === 409) return make('cluster-conflict', `${what}: the object exists already or has changed`);
  // Asking again at once would be no use: this is an answer about one pod, not about our pace.
  if (status === 429 && hasCause(causes, 'DisruptionBudget'))
    return make('cluster-refused', `${what}: a PodDisruptionBudget holds the pod`);
  if (status === 429)
    return make(
      'cluster-throttled',
      `${what}: the API server asks us to wait`,
      Math.max(1, Number(retryAfter) || 1) * 1000,
    );
  if (status === 403 && hasCause(causes, 'NamespaceTerminating'))
    return make('namespace-refused', `${what}: the namespace is terminating`);
  if (status === 403 && text.includes('exceeded quota'))
    return make('quota-exceeded', `${what}: a ResourceQuota leaves no room`);
  if (status === 401)
    return make('cluster-refused', `${what}: the API server does not accept our own credentials`);
  if (isNamespaceFence)
    return make('namespace-refused', `${what}: the namespace is protected or has not opted in`);
  if (missingRight !== undefined) return make('cluster-refused', `${what}: no right to ${missingRight}`);
  if (status < 500) {
    return make(
      'cluster-refused',
      policy ? `${what}: policy ${policy} denied it` : `${what}: refused with ${upstream}`,
    );
  }
  return make('cluster-unreachable', `${what}: the API server failed with ${upstream}`);
}

/**
 * 422, by a field that never changes or by a fence of ours: the object is another one than we took it for. What the policy of
 * somebody else denies says nothing of that.
 */
export function isAnotherObject(error: unknown): error is Problem {
  if (!isProblem(error, 'cluster-refused')) return false;
  return /^422(?!.*policy (?!keyless-pull-))/.test(error.details.upstream ?? '');
}

function rightIn(text: string): string | undefined {
  const [, verb, resource, namespace] = MISSING_RIGHT.exec(text) ?? [];
  if (verb === undefined) return undefined;
  return `${verb} ${resource} ${namespace === undefined ? 'in the whole cluster' : `in namespace ${namespace}`}`;
}

function hasCause(causes: unknown, wanted: string): boolean {
  return listOf(causes).some(({ reason }) => reason === wanted);
}
