// Whose token the kubelet has sent: read from its claims and not verified, which is the registry's part.
import * as z from 'zod';
import { Problem } from '../problem.ts';
import { jwtClaims } from '../registry/jwt-expiry.ts';
import type { Identity } from '../core/pull-credential.ts';
import type { SecretText } from '../secret-text.ts';

export interface TokenHolder {
  readonly identity: Identity;
  readonly audiences: readonly string[];
  /** Epoch milliseconds, both. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** The claims of a bound token (KEP-1205), all of which the kubelet's have. */
const Claims = z.object({
  aud: z.union([z.string().transform((one) => [one]), z.array(z.string())]),
  exp: z.number(),
  iat: z.number(),
  sub: z.string(),
  'kubernetes.io': z.object({
    namespace: z.string().min(1),
    serviceaccount: z.object({ name: z.string().min(1), uid: z.string().min(1) }),
  }),
});

/** @throws Problem `token-unusable` for what is no token of an account, and for one that has expired */
export function holderOf(token: SecretText, now: number): TokenHolder {
  const result = Claims.safeParse(jwtClaims(token));
  if (!result.success) throw unusable('it is no token of a Kubernetes ServiceAccount');
  const { aud, exp, iat, sub, 'kubernetes.io': bound } = result.data;
  const { namespace, serviceaccount } = bound;
  if (sub !== `system:serviceaccount:${namespace}:${serviceaccount.name}`)
    throw unusable('its subject and its kubernetes.io claim name different accounts');
  const [issuedAt, expiresAt] = [iat * 1000, exp * 1000];
  if (expiresAt <= now) throw unusable(`it expired ${Math.ceil((now - expiresAt) / 1000)} s ago`);
  const identity = { namespace, account: serviceaccount.name, uid: serviceaccount.uid };
  return { identity, audiences: aud, issuedAt, expiresAt };
}

export function unusable(why: string): Problem {
  return new Problem('token-unusable', `the ServiceAccount token in the request cannot be used: ${why}`);
}
