// A double of an OAuth token service that trusts a cluster: RFC 8693, and its siblings of RFC 7523. What it expects
// besides the token is configured, and nothing else is let through: not one field more.
import { SignJWT, generateKeyPair } from 'jose';
import type { Clock } from '../../src/clock.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from './strict-server.ts';
import { TokenRefused, judgeToken, type Trust } from './token-judge.ts';

const USUAL_LIFE_MS = 3600_000;
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Per grant: its name on the wire, where the ServiceAccount token stands, and what a bad one is called. */
const GRANTS = {
  // RFC 8693 §2.2.2 has invalid_request for a bad subject token, RFC 7523 §3.1 and §3.2 have the two others.
  'token-exchange': ['urn:ietf:params:oauth:grant-type:token-exchange', 'subject_token', 'invalid_request'],
  'jwt-bearer': ['urn:ietf:params:oauth:grant-type:jwt-bearer', 'assertion', 'invalid_grant'],
  'client-credentials': ['client_credentials', 'client_assertion', 'invalid_client'],
} as const;

/** What a wrong value is called; `invalid_request` for all other fields. */
const FAULTS: Record<string, string> = {
  audience: 'invalid_target',
  resource: 'invalid_target',
  scope: 'invalid_scope',
  client_id: 'invalid_client',
  grant_type: 'unsupported_grant_type',
};

type Fields = Readonly<Record<string, string | readonly string[]>>;

export interface TokenExchangeOptions {
  readonly clock: Clock;
  readonly trust: Trust;
  readonly grant?: keyof typeof GRANTS;
  readonly encoding?: 'form' | 'json';
  readonly path?: string;
  /**
   * Fields that must be there besides `grant_type` and the token, letter by letter; a list is a repeated field, in
   * order. Without it the type of the subject token or of the assertion.
   */
  readonly fields?: Fields;
}

export interface TokenExchangeDouble extends StrictServer {
  readonly tokenUrl: string;
  /** While set, the answer to whatever comes. */
  refuseWith: Answer | undefined;
  /** Of the next token, in `expires_in` and `exp`: an hour, in neither, or this time in epoch milliseconds. */
  expiry: 'usual' | 'missing' | number;
  token: 'jwt' | 'opaque';
  tokenType: string;
  hasExpiresIn: boolean;
  /** Who logs in with the token; the `sub` of a JWT. */
  username: string;
  /** Merged over the answer: a refresh token, a user name. */
  extra: Record<string, unknown>;
  /** Whether the registry lets this login in now. A token whose expiry is missing lasts an hour. */
  accepts(username: string, password: string): boolean;
}

export async function createTokenExchangeDouble(options: TokenExchangeOptions): Promise<TokenExchangeDouble> {
  const { clock, trust, grant = 'token-exchange', encoding = 'form', path = '/oauth2/token' } = options;
  const [grantType, tokenField, tokenFault] = GRANTS[grant];
  const expected: Fields = { ...(options.fields ?? usualFields(grant)), grant_type: grantType };
  const { privateKey } = await generateKeyPair('ES256');
  const logins = new Map<string, { username: string; expiresAt: number }>();

  async function answer(request: Received): Promise<Answer> {
    if (request.path !== path) return { status: 404 };
    if (double.refuseWith) return double.refuseWith;
    if (request.method !== 'POST') return { status: 405, headers: { allow: 'POST' } };
    const fields = readFields(request, encoding);
    if (!fields || request.headers.authorization !== undefined || [...request.query].length > 0)
      return oauthRefusal('invalid_request', 'a POST with all fields in its body is expected');
    const wrong = wrongField(fields, expected, tokenField);
    if (wrong !== undefined) return oauthRefusal(FAULTS[wrong] ?? 'invalid_request', `${wrong} is wrong`);
    try {
      await judgeToken(String(fields[tokenField]), trust);
    } catch (error) {
      if (error instanceof TokenRefused) return oauthRefusal(tokenFault, error.message);
      throw error;
    }
    return { headers: { 'cache-control': 'no-store' }, body: await issue() };
  }

  async function issue(): Promise<Record<string, unknown>> {
    const { expiry, username, hasExpiresIn } = double;
    const now = clock.now();
    const expiresAt = typeof expiry === 'number' ? expiry : now + USUAL_LIFE_MS;
    const times = expiry === 'missing' ? {} : { exp: Math.floor(expiresAt / 1000) };
    const jwt = new SignJWT({ iss: double.url, sub: username, jti: crypto.randomUUID(), ...times });
    const issued = await jwt.setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
    // Opaque: no dots, so that nobody can look for an expiry in it.
    const token = double.token === 'jwt' ? issued : issued.replaceAll('.', '_');
    logins.set(token, { username, expiresAt });
    return {
      access_token: token,
      issued_token_type: `urn:ietf:params:oauth:token-type:${double.tokenType === 'N_A' ? 'jwt' : 'access_token'}`,
      token_type: double.tokenType,
      ...(hasExpiresIn && expiry !== 'missing' && { expires_in: Math.floor((expiresAt - now) / 1000) }),
      ...double.extra,
    };
  }

  const server = await createStrictServer({ clock, answer });
  const double: TokenExchangeDouble = Object.assign(server, {
    tokenUrl: `${server.url}${path}`,
    refuseWith: undefined,
    expiry: 'usual',
    token: 'jwt',
    tokenType: 'Bearer',
    hasExpiresIn: true,
    username: 'builder',
    extra: {},
    accepts(username, password) {
      const login = logins.get(password);
      return login !== undefined && login.username === username && login.expiresAt > clock.now();
    },
  } satisfies Omit<TokenExchangeDouble, keyof StrictServer>);
  return double;
}

/** Any of RFC 6749's and RFC 8693's codes with the status it comes with. */
export function oauthRefusal(error: string, description = 'refused by the double'): Answer {
  const status = error === 'invalid_client' ? 401 : error === 'temporarily_unavailable' ? 503 : 400;
  return { status, body: { error, error_description: description } };
}

function usualFields(grant: keyof typeof GRANTS): Fields {
  if (grant === 'token-exchange') return { subject_token_type: 'urn:ietf:params:oauth:token-type:jwt' };
  return grant === 'client-credentials' ? { client_assertion_type: ASSERTION_TYPE } : {};
}

/** The first field that is missing, unknown, repeated or different. */
function wrongField(
  fields: Record<string, unknown>,
  expected: Fields,
  tokenField: string,
): string | undefined {
  const names = new Set(['grant_type', tokenField, ...Object.keys(expected), ...Object.keys(fields)]);
  return [...names].find((name) => {
    if (name === tokenField) return typeof fields[name] !== 'string';
    return JSON.stringify(fields[name]) !== JSON.stringify(expected[name]);
  });
}

/** Nothing where the body is not what its type says, or the type is not the configured one. */
function readFields(
  { headers, body }: Received,
  encoding: 'form' | 'json',
): Record<string, unknown> | undefined {
  const type = encoding === 'form' ? /^application\/x-www-form-urlencoded\b/ : /^application\/json\b/;
  if (!type.test(headers['content-type'] ?? '')) return undefined;
  if (encoding === 'json') return readJsonObject(body);
  const form = new URLSearchParams(body);
  return Object.fromEntries(
    [...new Set(form.keys())].map((name) => {
      const values = form.getAll(name);
      return [name, values.length === 1 ? values[0] : values];
    }),
  );
}

/** Nothing for what is no JSON, or no object. */
export function readJsonObject(body: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && !Array.isArray(value) && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
