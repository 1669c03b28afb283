// A double of JFrog's OIDC token exchange: JSON without Authorization, judged by a provider and an identity mapping.
import { SignJWT, generateKeyPair } from 'jose';
import type { Clock } from '../../src/clock.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from './strict-server.ts';
import { readJsonObject } from './token-exchange-double.ts';
import { TokenRefused, judgeToken, type Trust } from './token-judge.ts';

export const JFROG_PATH = '/access/api/v1/oidc/token';
const GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const USUAL_LIFE_MS = 3600_000;
const OPTIONAL = [
  'audience',
  'project_key',
  'identity_mapping_name',
  'application_key',
  'include_reference_token',
];

export interface JfrogOptions {
  readonly clock: Clock;
  readonly trust: Trust;
  readonly providerName: string;
  /** Optional fields that must be sent, with these values; others may not. `provider_type` may come always. */
  readonly fields?: Readonly<Record<string, string>>;
}

export interface JfrogDouble extends StrictServer {
  /** While set, the answer to whatever comes. */
  refuseWith: Answer | undefined;
  /** Of the next token, in `expires_in` and `exp`: an hour, in neither, or this time in epoch milliseconds. */
  expiry: 'usual' | 'missing' | number;
  /** Who the mapping makes of a token. */
  username: string;
  /** Where the name is said; the token's `sub` ends in it in any case. */
  namesUser: 'in-answer' | 'in-token';
  /** What `sub` has before the name. */
  subjectPrefix: string;
  /** Merged over the answer, where `expires_in` may be another than the token's own. */
  extra: Record<string, unknown>;
  /** Whether the registry lets this login in now, as the token says. One without `exp` lasts an hour. */
  accepts(username: string, password: string): boolean;
}

export async function createJfrogDouble(options: JfrogOptions): Promise<JfrogDouble> {
  const { clock, trust, providerName, fields: expected = {} } = options;
  const { privateKey } = await generateKeyPair('ES256');
  const logins = new Map<string, { username: string; expiresAt: number }>();

  async function answer({ method, path, query, headers, body }: Received): Promise<Answer> {
    if (path !== JFROG_PATH) return jfrogRefusal(404, 'NOT_FOUND', 'Not found');
    if (double.refuseWith) return double.refuseWith;
    if (method !== 'POST') return jfrogRefusal(405, 'METHOD_NOT_ALLOWED', 'Method not allowed');
    if (!/^application\/json\b/.test(headers['content-type'] ?? ''))
      return jfrogRefusal(415, 'UNSUPPORTED_MEDIA_TYPE', 'Unsupported media type');
    const fields = readJsonObject(body);
    if (!fields || headers.authorization !== undefined || [...query].length > 0)
      return jfrogRefusal(400, 'BAD_REQUEST', 'a JSON object without Authorization is expected');
    const wrong = wrongField(fields, expected);
    if (wrong !== undefined) return jfrogRefusal(400, 'BAD_REQUEST', `${wrong} is wrong`);
    if (fields['provider_name'] !== providerName)
      return jfrogRefusal(404, 'NOT_FOUND', 'OIDC provider not found');
    try {
      await judgeToken(String(fields['subject_token']), trust);
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error;
      // The token is good, and no mapping's claims are its own.
      const isUnmapped = error.fault === 'audience' || error.fault === 'subject';
      if (isUnmapped) return jfrogRefusal(403, 'FORBIDDEN', 'No identity mapping matches the claims');
      return jfrogRefusal(401, 'UNAUTHORIZED', error.message);
    }
    return { body: await issue(fields) };
  }

  async function issue(fields: Record<string, unknown>): Promise<Record<string, unknown>> {
    const { expiry, username, namesUser, subjectPrefix } = double;
    const now = clock.now();
    const expiresAt = typeof expiry === 'number' ? expiry : now + USUAL_LIFE_MS;
    const isExpirySaid = expiry !== 'missing';
    const claims = {
      iss: subjectPrefix.split('/')[0],
      sub: `${subjectPrefix}${username}`,
      aud: fields['audience'] ?? '*@*',
      iat: Math.floor(now / 1000),
      ...(isExpirySaid && { exp: Math.floor(expiresAt / 1000) }),
      scp: 'applied-permissions/user',
      jti: crypto.randomUUID(),
    } as Record<string, unknown>;
    const token = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
    logins.set(token, { username, expiresAt });
    return {
      access_token: token,
      token_type: 'Bearer',
      ...(isExpirySaid && { expires_in: Math.floor((expiresAt - now) / 1000) }),
      issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      scope: 'applied-permissions/user',
      ...(namesUser === 'in-answer' && { username }),
      ...(fields['include_reference_token'] === 'true' && { reference_token: crypto.randomUUID() }),
      ...double.extra,
    };
  }

  const double: JfrogDouble = Object.assign(await createStrictServer({ clock, answer }), {
    refuseWith: undefined,
    expiry: 'usual',
    username: 'builder',
    namesUser: 'in-answer',
    subjectPrefix: 'jfac@01hexample/users/',
    extra: {},
    accepts(username, password) {
      const login = logins.get(password);
      return login !== undefined && login.username === username && login.expiresAt > clock.now();
    },
  } satisfies Omit<JfrogDouble, keyof StrictServer>);
  return double;
}

/** The first field that is missing, unknown or different; the provider's name has an answer of its own. */
function wrongField(fields: Record<string, unknown>, expected: Readonly<Record<string, string>>) {
  const fixed: Record<string, unknown> = { grant_type: GRANT, subject_token_type: ID_TOKEN, ...expected };
  const free = ['subject_token', 'provider_name'];
  const names = new Set([...Object.keys(fixed), ...free, ...Object.keys(fields), ...OPTIONAL]);
  return [...names].find((name) => {
    if (free.includes(name)) return typeof fields[name] !== 'string';
    if (name === 'provider_type') return fields[name] !== 'Generic OpenID Connect';
    return fields[name] !== fixed[name];
  });
}

/** As the platform writes its errors; clients quote it whole. */
export function jfrogRefusal(status: number, code: string, message: string): Answer {
  return { status, body: { errors: [{ code, message, detail: null }] } };
}
