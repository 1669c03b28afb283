// What a password says of itself before anything of it is proven: good for choosing whom to ask, and for nothing else.
import type { JWTPayload, ProtectedHeaderParameters } from 'jose';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { Problem } from '../problem.ts';
import type { SecretText } from '../secret-text.ts';

export interface UnverifiedToken {
  readonly text: SecretText;
  readonly header: ProtectedHeaderParameters;
  readonly claims: JWTPayload;
  /** Undefined when the claim is missing or no text. */
  readonly issuer: string | undefined;
}

/** A ServiceAccount token is 1 to 2 KiB; RSA 16384 and long names stay below this. */
const LONGEST_TOKEN = 16 * 1024;

const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/** @throws Problem `login-refused` for what cannot be a ServiceAccount token by its very form */
export function readUnverified(text: SecretText): UnverifiedToken {
  const token = text.reveal();
  if (token.length > LONGEST_TOKEN)
    throw loginRefused('the password is longer than a ServiceAccount token can be');
  if (!COMPACT_JWS.test(token)) throw loginRefused('the password is not a ServiceAccount token');
  try {
    const claims = decodeJwt(token);
    const { iss }: { iss?: unknown } = claims; // jose's type says what should be
    return {
      text,
      header: decodeProtectedHeader(token),
      claims,
      issuer: typeof iss === 'string' ? iss : undefined,
    };
  } catch {
    throw loginRefused('the password is not a ServiceAccount token');
  }
}

/** The sentence must repeat nothing of the token. */
export function loginRefused(sentence: string): Problem {
  return new Problem('login-refused', sentence);
}
