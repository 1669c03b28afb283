// A double of Cloudsmith's OIDC exchange: JSON in, 201 and a token out.
import { SignJWT, generateKeyPair } from 'jose';
import type { Clock } from '../../src/clock.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from './strict-server.ts';
import { readJsonObject } from './token-exchange-double.ts';
import { TokenRefused, judgeToken, type Trust } from './token-judge.ts';

export const CLOUDSMITH_USERNAME = 'token';
/** The life of what Cloudsmith issues is not published; two hours are as good as any. */
const USUAL_LIFE_MS = 2 * 3600_000;

export interface CloudsmithOptions {
  readonly clock: Clock;
  readonly trust: Trust;
  readonly organisation: string;
  readonly serviceSlug: string;
}

export interface CloudsmithDouble extends StrictServer {
  /** While set, the answer to whatever comes. */
  refuseWith: Answer | undefined;
  /** Of the next token: the usual one, no `exp` at all, or this time in epoch milliseconds. */
  expiry: 'usual' | 'missing' | number;
  /** 201; documentation has 200 too. */
  successStatus: 200 | 201;
  /** Whether the registry lets this login in now. A token without `exp` lasts the usual time. */
  accepts(username: string, password: string): boolean;
}

export async function createCloudsmithDouble(options: CloudsmithOptions): Promise<CloudsmithDouble> {
  const { clock, trust, organisation, serviceSlug } = options;
  const { privateKey } = await generateKeyPair('ES256');
  const logins = new Map<string, number>();
  const paths = [`/openid/${organisation}/`, `/v2/openid/${organisation}`];

  async function answer({ method, path, query, headers, body }: Received): Promise<Answer> {
    if (!paths.includes(path)) return cloudsmithRefusal(404, 'Not found.');
    if (double.refuseWith) return double.refuseWith;
    if (method !== 'POST') return cloudsmithRefusal(405, 'Method not allowed.');
    if (!/^application\/json\b/.test(headers['content-type'] ?? ''))
      return cloudsmithRefusal(415, 'Unsupported media type.');
    const fields = readJsonObject(body);
    if (!fields || headers.authorization !== undefined || [...query].length > 0)
      return cloudsmithRefusal(400, 'A JSON object without Authorization is expected.');
    const names = new Set(['oidc_token', 'service_slug', ...Object.keys(fields)]);
    const faults = [...names].filter((name) => !FIELDS.has(name) || typeof fields[name] !== 'string');
    if (faults.length > 0) return fieldRefusal(faults);
    if (fields['service_slug'] !== serviceSlug) return cloudsmithRefusal(404, 'Service not found.');
    try {
      await judgeToken(String(fields['oidc_token']), trust);
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error;
      // The token is good, and its claims are not those that the provider settings require.
      const isUnclaimed = error.fault === 'audience' || error.fault === 'subject';
      return cloudsmithRefusal(isUnclaimed ? 403 : 401, error.message);
    }
    return { status: double.successStatus, body: { token: await issue() } };
  }

  async function issue(): Promise<string> {
    const { expiry } = double;
    const expiresAt = typeof expiry === 'number' ? expiry : clock.now() + USUAL_LIFE_MS;
    const iat = Math.floor(clock.now() / 1000);
    const exp = expiry === 'missing' ? {} : { exp: Math.floor(expiresAt / 1000) };
    const claims = { sub: serviceSlug, iat, ...exp, jti: crypto.randomUUID() };
    const token = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
    logins.set(token, expiresAt);
    return token;
  }

  const double: CloudsmithDouble = Object.assign(await createStrictServer({ clock, answer }), {
    refuseWith: undefined,
    expiry: 'usual',
    successStatus: 201,
    accepts: (username, password) =>
      username === CLOUDSMITH_USERNAME && (logins.get(password) ?? 0) > clock.now(),
  } satisfies Omit<CloudsmithDouble, keyof StrictServer>);
  return double;
}

const FIELDS = new Set(['oidc_token', 'service_slug']);

export function cloudsmithRefusal(status: number, detail: string): Answer {
  return { status, body: { detail } };
}

/** What is wrong field by field has no `detail`. */
function fieldRefusal(names: string[]): Answer {
  const wrong = names.map((name) => [
    name,
    [FIELDS.has(name) ? 'This field is required.' : 'Unknown field.'],
  ]);
  return { status: 422, body: Object.fromEntries(wrong) };
}
