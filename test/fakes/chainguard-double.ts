// A double of Chainguard's token issuer: the ServiceAccount token as bearer, the identity beside it as form or query.
import { SignJWT, generateKeyPair } from 'jose';
import type { Clock } from '../../src/clock.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from './strict-server.ts';
import { TokenRefused, judgeToken, type Trust } from './token-judge.ts';

export const CHAINGUARD_USERNAME = '_token';
const CHAINGUARD_AUDIENCE = 'cgr.dev';
const USUAL_LIFE_MS = 3600_000;

export interface ChainguardOptions {
  readonly clock: Clock;
  /** The audience of the ServiceAccount token is usually `https://issuer.enforce.dev`. */
  readonly trust: Trust;
  /** UIDP of the identity that trusts the subjects. */
  readonly identity: string;
}

export interface ChainguardDouble extends StrictServer {
  /** While set, the answer to whatever comes. */
  refuseWith: Answer | undefined;
  /** Of the next token, in `expiry` and `exp`: an hour, in neither, or this time in epoch milliseconds. */
  expiry: 'usual' | 'missing' | number;
  /** How many digits the seconds of `expiry` have: protobuf's JSON has none, three, six or nine. */
  fractionDigits: 0 | 3 | 6 | 9;
  hasRefreshToken: boolean;
  /** Whether the registry lets this login in now. A token whose expiry is missing lasts an hour. */
  accepts(username: string, password: string): boolean;
}

export async function createChainguardDouble(options: ChainguardOptions): Promise<ChainguardDouble> {
  const { clock, trust, identity } = options;
  const { privateKey } = await generateKeyPair('ES256');
  const logins = new Map<string, number>();

  async function answer({ method, path, query, headers, body }: Received): Promise<Answer> {
    if (path !== '/sts/exchange') return rpcRefusal(5, 'Not Found');
    if (double.refuseWith) return double.refuseWith;
    if (method !== 'POST') return { ...rpcRefusal(12, 'Method Not Allowed'), status: 405 };
    const isForm = /^application\/x-www-form-urlencoded\b/.test(headers['content-type'] ?? '');
    if (body !== '' && !isForm) return rpcRefusal(3, 'a form is expected');
    const fields = [...query, ...new URLSearchParams(body)];
    const value = (name: string) => fields.find(([key]) => key === name)?.[1];
    const names = fields.map(([name]) => name).sort();
    if (names.join() !== 'aud,identity')
      return rpcRefusal(3, 'aud and identity are expected, once and alone');
    if (value('aud') !== CHAINGUARD_AUDIENCE) return rpcRefusal(3, 'unsupported audience');
    const bearer = /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1];
    if (bearer === undefined) return rpcRefusal(16, 'missing bearer token');
    if (value('identity') !== identity) return rpcRefusal(7, 'identity can not be assumed');
    try {
      await judgeToken(bearer, trust);
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error;
      // The token is good, and the identity does not trust it.
      const isUntrusted = ['issuer', 'audience', 'subject'].includes(error.fault);
      return rpcRefusal(isUntrusted ? 7 : 16, error.message);
    }
    return { body: await issue() };
  }

  async function issue(): Promise<Record<string, unknown>> {
    const { expiry, fractionDigits, hasRefreshToken } = double;
    const expiresAt = typeof expiry === 'number' ? expiry : clock.now() + USUAL_LIFE_MS;
    const isExpirySaid = expiry !== 'missing';
    const iat = Math.floor(clock.now() / 1000);
    const exp = isExpirySaid ? { exp: Math.floor(expiresAt / 1000) } : {};
    const names = { iss: double.url, sub: identity, aud: CHAINGUARD_AUDIENCE, jti: crypto.randomUUID() };
    const jwt = new SignJWT({ ...names, iat, ...exp }).setProtectedHeader({ alg: 'ES256' });
    const token = await jwt.sign(privateKey);
    logins.set(token, expiresAt);
    return {
      token,
      ...(hasRefreshToken && { refreshToken: crypto.randomUUID() }),
      ...(isExpirySaid && { expiry: timestamp(expiresAt, fractionDigits) }),
    };
  }

  const double: ChainguardDouble = Object.assign(await createStrictServer({ clock, answer }), {
    refuseWith: undefined,
    expiry: 'usual',
    fractionDigits: 0,
    hasRefreshToken: false,
    accepts: (username, password) =>
      username === CHAINGUARD_USERNAME && (logins.get(password) ?? 0) > clock.now(),
  } satisfies Omit<ChainguardDouble, keyof StrictServer>);
  return double;
}

/** RFC 3339. Digits that milliseconds do not have are nines, so that nobody reads them as zeros by luck. */
function timestamp(time: number, digits: number): string {
  const [seconds = '', fraction = ''] = new Date(time).toISOString().slice(0, -1).split('.');
  return digits === 0 ? `${seconds}Z` : `${seconds}.${fraction.padEnd(digits, '9')}Z`;
}

const STATUSES: Record<number, number> = {
  3: 400,
  5: 404,
  7: 403,
  8: 429,
  12: 501,
  13: 500,
  14: 503,
  16: 401,
};

/** A google.rpc.Status by its code, with the HTTP status that goes with it. */
export function rpcRefusal(code: number, message: string): Answer {
  return { status: STATUSES[code] ?? 500, body: { code, message, details: [] } };
}
