// A double of a registry that speaks the docker v2 token protocol, and of its realm, which takes a user name and a
// ServiceAccount token as password: nothing is exchanged, the token is the login.
import { SignJWT, generateKeyPair, jwtVerify } from 'jose';
import type { Clock } from '../../src/clock.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from './strict-server.ts';
import { TokenRefused, judgeToken, type Trust } from './token-judge.ts';

const REALM_PATH = '/auth/token';
const REALM_FIELDS = ['service', 'scope', 'account', 'client_id', 'offline_token'];
/** `type(class):name:actions`; the name may hold one colon of its own, for a port. */
const SCOPE = /^([a-z0-9]+)(?:\(([a-z0-9]+)\))?:([^:]+(?::\d+[^:]*)?):((?:[a-z]+|\*)(?:,(?:[a-z]+|\*))*)$/;
const USUAL_LIFE_MS = 300_000;

export interface TokenRealmOptions {
  readonly clock: Clock;
  readonly trust: Trust;
  readonly service?: string;
  /** The one user name that is let in; without it any, as long as there is one. */
  readonly username?: string;
}

export interface TokenRealmDouble extends StrictServer {
  readonly service: string;
  /** Where the challenge sends clients; may be changed, to another host too. */
  realm: string;
  /** While set, what that half answers whatever comes. */
  refuseWith: { registry?: Answer; realm?: Answer };
  /** Of the next bearer, in `expires_in` and `exp`: five minutes, in neither, or this time in epoch milliseconds. */
  expiry: 'usual' | 'missing' | number;
  /** Whether the realm has let this login in, and would do so now: until the ServiceAccount token expires. */
  accepts(username: string, password: string): boolean;
}

export async function createTokenRealmDouble(options: TokenRealmOptions): Promise<TokenRealmDouble> {
  const { clock, trust, service = 'registry.team.example', username } = options;
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const logins = new Map<string, number>();
  const loginKey = (user: string, password: string) => JSON.stringify([user, password]);

  async function answer(request: Received): Promise<Answer> {
    // Who posts to the realm meets a server that knows no other method than GET.
    if (request.method !== 'GET') return { status: 404 };
    if (request.path === '/v2/') return double.refuseWith.registry ?? (await registry(request));
    if (request.path === REALM_PATH) return double.refuseWith.realm ?? (await realm(request));
    return { status: 404 };
  }

  async function registry({ headers }: Received): Promise<Answer> {
    const bearer = /^Bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1];
    const demands = { audience: service, currentDate: new Date(clock.now()) };
    const isLetIn = bearer && (await jwtVerify(bearer, publicKey, demands).catch(() => undefined));
    if (isLetIn) return { body: {} };
    const error = bearer === undefined ? '' : ',error="invalid_token"';
    const challenge = `Bearer realm="${double.realm}",service="${service}"${error}`;
    const api = { 'docker-distribution-api-version': 'registry/2.0' };
    return refusal(401, 'UNAUTHORIZED', { 'www-authenticate': challenge, ...api });
  }

  async function realm({ headers, query }: Received): Promise<Answer> {
    const login = readBasic(headers.authorization);
    const isUserKnown = login && login.user !== '' && (username === undefined || login.user === username);
    if (!isUserKnown) return unauthorized;
    const account = query.get('account') ?? login.user;
    const unknown = [...query.keys()].some((name) => !REALM_FIELDS.includes(name));
    const scopes = query.getAll('scope').flatMap((scope) => scope.split(' '));
    const malformed = scopes.some((scope) => !SCOPE.test(scope));
    if (unknown || malformed || query.get('service') !== service || account !== login.user)
      return refusal(400, 'UNSUPPORTED');
    try {
      const { exp = 0 } = await judgeToken(login.password, trust);
      logins.set(loginKey(login.user, login.password), exp * 1000);
    } catch (error) {
      if (error instanceof TokenRefused) return unauthorized;
      throw error;
    }
    return { body: await issue(login.user, scopes.flatMap(grant)) };
  }

  async function issue(user: string, access: object[]): Promise<Record<string, unknown>> {
    const { expiry } = double;
    const now = clock.now();
    const expiresAt = typeof expiry === 'number' ? expiry : now + USUAL_LIFE_MS;
    const iat = Math.floor(now / 1000);
    const exp = expiry === 'missing' ? {} : { exp: Math.floor(expiresAt / 1000) };
    const claims = {
      iss: 'token realm',
      sub: user,
      aud: service,
      jti: crypto.randomUUID(),
      iat,
      ...exp,
      access,
    };
    const token = await new SignJWT(claims).setProtectedHeader({ alg: 'ES256' }).sign(privateKey);
    const expiresIn = expiry === 'missing' ? {} : { expires_in: Math.floor((expiresAt - now) / 1000) };
    return { token, access_token: token, ...expiresIn, issued_at: new Date(now).toISOString() };
  }

  const server = await createStrictServer({ clock, answer });
  const double: TokenRealmDouble = Object.assign(server, {
    service,
    realm: `${server.url}${REALM_PATH}`,
    refuseWith: {},
    expiry: 'usual',
    accepts: (user, password) => (logins.get(loginKey(user, password)) ?? 0) > clock.now(),
  } satisfies Omit<TokenRealmDouble, keyof StrictServer>);
  return double;
}

const unauthorized = refusal(401, 'UNAUTHORIZED', { 'www-authenticate': 'Basic realm="token realm"' });

function refusal(status: number, code: string, headers = {}): Answer {
  return { status, headers, body: { errors: [{ code, message: 'refused by the double', detail: null }] } };
}

/** Of what is asked for, pulls alone; what is not granted is left out and is no error. */
function grant(scope: string): object[] {
  const [, type, kind, name, actions = ''] = SCOPE.exec(scope) ?? [];
  if (type !== 'repository' || !actions.split(',').includes('pull')) return [];
  return [{ type, ...(kind !== undefined && { class: kind }), name, actions: ['pull'] }];
}

/** Split at the first colon: a password may hold more of them, a user name none. */
function readBasic(header = ''): { user: string; password: string } | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/]+=*)$/i.exec(header)?.[1];
  const [, user, password] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(encoded ?? '', 'base64').toString('utf8')) ?? [];
  return user === undefined || password === undefined ? undefined : { user, password };
}
