// From the claims of a verified token to the account it stands for. Pure; signature and times were checked before.
import type { JWTPayload } from 'jose';
import * as z from 'zod';
import { loginRefused } from './unverified-token.ts';

/** Who holds a token: the account's names, and its uid where the token says it. */
export interface TokenIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly uid?: string;
}

const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const LONGEST_ACCOUNT = 253;

/** The private claim of projected tokens (KEP-1205). Parts that are there must be right; none must be there. */
const Nested = z
  .object({
    namespace: z.string().optional(),
    serviceaccount: z.object({ name: z.string().optional(), uid: z.string().min(1).optional() }).optional(),
  })
  .optional();

/**
 * Reads `sub`, which must be exactly `system:serviceaccount:<namespace>:<name>`, and holds it against the nested
 * `kubernetes.io` claim where that is present.
 * @throws Problem `login-refused`; the sentence repeats nothing of the token
 */
export function readServiceAccountClaims(claims: JWTPayload): TokenIdentity {
  const { sub, 'kubernetes.io': raw } = claims as { sub?: unknown; 'kubernetes.io'?: unknown }; // types say what should be
  const [system, kind, namespace = '', serviceAccount = '', ...more] =
    typeof sub === 'string' ? sub.split(':') : [];
  const isAccount = system === 'system' && kind === 'serviceaccount' && more.length === 0;
  if (!isAccount || !DNS_LABEL.test(namespace) || !isAccountName(serviceAccount)) {
    throw loginRefused("the token's subject is no Kubernetes ServiceAccount");
  }
  const nested = Nested.safeParse(raw);
  if (!nested.success) throw loginRefused("the token's kubernetes.io claim is malformed");
  const { namespace: nestedNamespace = namespace, serviceaccount } = nested.data ?? {};
  if (nestedNamespace !== namespace || (serviceaccount?.name ?? serviceAccount) !== serviceAccount) {
    throw loginRefused("the token's subject and its kubernetes.io claim name different accounts");
  }
  return { namespace, serviceAccount, ...(serviceaccount?.uid !== undefined && { uid: serviceaccount.uid }) };
}

function isAccountName(name: string): boolean {
  return (
    name.length <= LONGEST_ACCOUNT &&
    name.split('.').every((label) => /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(label))
  );
}
