// A double of Quay's robot federation: GET with Basic, the robot as user and the ServiceAccount token as password.
// It is as strict as Quay and no stricter: who is the audience is not asked.
import { SignJWT, decodeProtectedHeader, generateKeyPair } from 'jose';
import type { Clock } from '../../src/clock.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from './strict-server.ts';
import { TokenRefused, judgeToken, type TokenFault, type Trust } from './token-judge.ts';

export const QUAY_PATH = '/oauth2/federation/robot/token';
const USUAL_LIFE_MS = 3600_000;

export interface QuayOptions {
  readonly clock: Clock;
  /** Its audience and leeway do not count: Quay has its own mind about both. */
  readonly trust: Trust;
  /** `organisation+name` of the robot that trusts the subjects. */
  readonly robot: string;
  /** A robot that exists and trusts nobody. */
  readonly plainRobot?: string;
}

export interface QuayDouble extends StrictServer {
  /** While set, the answer to whatever comes. */
  refuseWith: Answer | undefined;
  /** Of the next token: an hour, no `exp` at all, or this time in epoch milliseconds. */
  expiry: 'usual' | 'missing' | number;
  /** Whether the registry lets this login in now. A token without `exp` lasts an hour. */
  accepts(username: string, password: string): boolean;
}

export async function createQuayDouble(options: QuayOptions): Promise<QuayDouble> {
  const { clock, robot, plainRobot } = options;
  const { audience: _unchecked, ...trust } = { ...options.trust, leeway: 30 };
  // Quay's own are RSA; nobody looks, and an RSA key takes long to make.
  const { privateKey } = await generateKeyPair('ES256');
  const logins = new Map<string, number>();

  async function answer({ method, path, headers }: Received): Promise<Answer> {
    if (path !== QUAY_PATH) return { status: 404 };
    if (double.refuseWith) return double.refuseWith;
    if (method !== 'GET') return { status: 405, headers: { allow: 'GET' } };
    const encoded = /^basic ([A-Za-z0-9+/]+=*)$/i.exec(headers.authorization ?? '')?.[1] ?? '';
    const [, user, token] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, 'base64').toString('utf8')) ?? [];
    if (user === undefined || token === undefined)
      return unauthorized('Invalid basic auth credential format');
    if (!/^[^+]+\+[^+]+$/.test(user)) return unauthorized('Invalid robot');
    if (user !== robot && user !== plainRobot)
      return quayRefusal(`Could not find robot with specified username: ${user}`);
    const fault = await faultOf(token);
    // Quay reads the issuer before it looks for one in its configuration, and does not catch what that throws.
    if (fault === 'malformed') return { status: 500, body: { message: 'Internal Server Error' } };
    if (user === plainRobot) return quayRefusal('Robot does not have federated login configured');
    if (fault === 'issuer') return quayRefusal('issuer is not configured for this robot');
    if (fault === 'subject') return quayRefusal('Token does not match robot');
    if (fault) return quayRefusal(`Invalid token: ${REASONS[fault]}`);
    return { body: { token: await issue() } };
  }

  async function faultOf(token: string): Promise<Fault | undefined> {
    try {
      const { alg } = decodeProtectedHeader(token);
      await judgeToken(token, trust);
      return alg === 'RS256' || alg === 'RS384' ? undefined : 'algorithm';
    } catch (error) {
      if (error instanceof TokenRefused) return error.fault;
      return 'malformed';
    }
  }

  async function issue(): Promise<string> {
    const { expiry } = double;
    const expiresAt = typeof expiry === 'number' ? expiry : clock.now() + USUAL_LIFE_MS;
    const iat = Math.floor(clock.now() / 1000);
    const exp = expiry === 'missing' ? {} : { exp: Math.floor(expiresAt / 1000) };
    const claims = { iss: 'quay', aud: 'quay', sub: robot, nbf: iat, iat, ...exp, jti: crypto.randomUUID() };
    const token = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'JWT' }).sign(privateKey);
    logins.set(token, expiresAt);
    return token;
  }

  const double: QuayDouble = Object.assign(await createStrictServer({ clock, answer }), {
    refuseWith: undefined,
    expiry: 'usual',
    accepts: (username, password) => username === robot && (logins.get(password) ?? 0) > clock.now(),
  } satisfies Omit<QuayDouble, keyof StrictServer>);
  return double;
}

type Fault = TokenFault | 'algorithm';

/** As PyJWT words them. */
const REASONS: Record<Exclude<Fault, 'malformed' | 'issuer' | 'subject'>, string> = {
  algorithm: 'The specified alg value is not allowed',
  'unknown-key': 'Signature verification failed',
  signature: 'Signature verification failed',
  audience: "Audience doesn't match",
  expired: 'Signature has expired',
  'not-yet-valid': 'The token is not yet valid (nbf)',
  claims: 'Token is missing a required claim',
};

/** What Quay says to a robot or a token that it does not like. */
export function quayRefusal(message: string, status = 400): Answer {
  return { status, body: { message } };
}

function unauthorized(error: string): Answer {
  return { status: 401, body: { error } };
}
