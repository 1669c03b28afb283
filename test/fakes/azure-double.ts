// A double of Entra's token endpoint and of one Azure container registry, on one server: the first judges the
// ServiceAccount token as a federated credential does, the second trades only what the first has issued.
import { SignJWT, generateKeyPair } from 'jose';
import type { Clock } from '../../src/clock.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from './strict-server.ts';
import { TokenRefused, judgeToken, type TokenFault, type Trust } from './token-judge.ts';

export const AZURE_USERNAME = '00000000-0000-0000-0000-000000000000';
export const AZURE_SCOPE = 'https://containerregistry.azure.net/.default';
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const ENTRA_FIELDS = ['client_id', 'scope', 'grant_type', 'client_assertion_type', 'client_assertion'];
/** What Microsoft's own client adds about itself, measured with @azure/identity 4.13.1; it has no effect. */
const TELEMETRY = /^(client_info|client-request-id|x-client-[\w-]+|x-ms-lib-capability|x-app-(name|ver))$/;
const USUAL_LIFE_MS = 3 * 3600_000;
const ACCESS_LIFE_SECONDS = 3599;

export interface AzureDouble extends StrictServer {
  /** While set, what that half answers whatever comes. */
  refuseWith: { entra?: Answer; registry?: Answer };
  /** Of the next refresh token: about three hours, no `exp` at all, or this time in epoch milliseconds. */
  expiry: 'usual' | 'missing' | number;
  /** False: the registry's network rules shut everybody out. */
  isNetworkAllowed: boolean;
  /** Whether the registry lets this login in now. A token without `exp` lasts as long as a usual one. */
  accepts(username: string, password: string): boolean;
}

export interface AzureOptions {
  readonly clock: Clock;
  readonly trust: Trust;
  readonly tenantId: string;
  readonly clientId: string;
  /** The registry's host name; the server's own without it. */
  readonly registry?: string;
}

export async function createAzureDouble(options: AzureOptions): Promise<AzureDouble> {
  const { clock, trust, tenantId, clientId } = options;
  const { privateKey } = await generateKeyPair('ES256');
  const accessTokens = new Map<string, number>();
  const logins = new Map<string, number>();

  async function answer(request: Received): Promise<Answer> {
    const [, tenant, ...rest] = request.path.split('/');
    const registry = options.registry ?? double.host;
    if (request.path === '/oauth2/exchange') return double.refuseWith.registry ?? exchange(request, registry);
    if (rest.join('/') === 'v2.0/.well-known/openid-configuration')
      return { body: discovery(String(tenant)) };
    if (rest.join('/') !== 'oauth2/v2.0/token') return { status: 404 };
    return double.refuseWith.entra ?? entra(request, String(tenant));
  }

  /** Microsoft's own client asks for it before the token; ours has no need to. */
  function discovery(tenant: string): Record<string, unknown> {
    const base = `${double.url}/${tenant}`;
    return {
      issuer: `${base}/v2.0`,
      authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
      token_endpoint: `${base}/oauth2/v2.0/token`,
      jwks_uri: `${base}/discovery/v2.0/keys`,
    };
  }

  async function entra({ method, headers, body }: Received, tenant: string): Promise<Answer> {
    if (method !== 'POST') return entraRefusal(900561);
    if (headers.authorization !== undefined || !isForm(headers)) return entraRefusal(90023);
    const form = new URLSearchParams(body);
    const names = [...form.keys()].filter((name) => !TELEMETRY.test(name));
    if (names.some((name) => !ENTRA_FIELDS.includes(name) || form.getAll(name).length > 1))
      return entraRefusal(90023);
    if (tenant !== tenantId) return entraRefusal(90002);
    if (form.get('grant_type') !== 'client_credentials') return entraRefusal(70003);
    if (form.get('client_id') !== clientId) return entraRefusal(700016);
    if (form.get('scope') !== AZURE_SCOPE) return entraRefusal(500011);
    if (form.get('client_assertion_type') !== ASSERTION_TYPE) return entraRefusal(7000218);
    const fault = await faultOf(form.get('client_assertion') ?? '', trust);
    if (fault) return entraRefusal(ASSERTION_FAULTS[fault]);
    // Not a JWT: who parses the access token, which is not meant for the client, fails here.
    const token = Buffer.from(crypto.getRandomValues(new Uint8Array(96))).toString('base64url');
    accessTokens.set(token, clock.now() + ACCESS_LIFE_SECONDS * 1000);
    const life = { expires_in: ACCESS_LIFE_SECONDS, ext_expires_in: ACCESS_LIFE_SECONDS };
    return { body: { token_type: 'Bearer', ...life, access_token: token } };
  }

  async function exchange({ method, headers, body }: Received, registry: string): Promise<Answer> {
    if (!double.isNetworkAllowed)
      return registryRefusal(403, 'DENIED', "client with IP '127.0.0.1' is not allowed access");
    if (method !== 'POST') return registryRefusal(405, 'UNSUPPORTED', 'method not allowed');
    const form = new URLSearchParams(body);
    const names = [...form.keys()];
    if (headers.authorization !== undefined || !isForm(headers))
      return registryRefusal(400, 'UNSUPPORTED', 'a form without Authorization is expected');
    if (names.some((name) => !EXCHANGE_FIELDS.includes(name) || form.getAll(name).length > 1))
      return registryRefusal(400, 'UNSUPPORTED', 'unknown or repeated field');
    if (form.get('grant_type') !== 'access_token')
      return registryRefusal(400, 'UNSUPPORTED', 'unsupported grant type');
    if (form.get('service') !== registry)
      return registryRefusal(400, 'UNSUPPORTED', 'service is not this registry');
    const isTenantRight = !form.has('tenant') || form.get('tenant') === tenantId;
    const isTokenGood = (accessTokens.get(form.get('access_token') ?? '') ?? 0) > clock.now();
    if (!isTenantRight || !isTokenGood)
      return registryRefusal(
        401,
        'UNAUTHORIZED',
        'authentication required, visit https://aka.ms/acr/authorization',
      );
    return { headers: trace(), body: { refresh_token: await refreshToken(registry) } };
  }

  async function refreshToken(registry: string): Promise<string> {
    const now = Math.floor(clock.now() / 1000);
    const { expiry } = double;
    const expiresAt = typeof expiry === 'number' ? expiry : clock.now() + USUAL_LIFE_MS;
    const times = {
      nbf: now - 900,
      iat: now - 900,
      ...(expiry !== 'missing' && { exp: Math.floor(expiresAt / 1000) }),
    };
    const names = { jti: crypto.randomUUID(), sub: clientId, iss: 'Azure Container Registry', aud: registry };
    const rights = {
      version: '1.0',
      grant_type: 'refresh_token',
      tenant: tenantId,
      permissions: { actions: ['read'] },
    };
    const token = new SignJWT({ ...names, ...times, ...rights }).setProtectedHeader({ alg: 'ES256' });
    const password = await token.sign(privateKey);
    logins.set(password, expiresAt);
    return password;
  }

  const double: AzureDouble = Object.assign(await createStrictServer({ clock, answer }), {
    refuseWith: {},
    expiry: 'usual',
    isNetworkAllowed: true,
    accepts: (username, password) => username === AZURE_USERNAME && (logins.get(password) ?? 0) > clock.now(),
  } satisfies Omit<AzureDouble, keyof StrictServer>);
  return double;
}

/** Deprecated grant types came with fields of their own, so that they are known, and refused for what they are. */
const EXCHANGE_FIELDS = ['grant_type', 'service', 'tenant', 'access_token', 'refresh_token'];

const ASSERTION_FAULTS: Record<TokenFault, number> = {
  issuer: 700211,
  audience: 700212,
  subject: 700213,
  expired: 700024,
  'not-yet-valid': 700024,
  'unknown-key': 700027,
  signature: 50013,
  malformed: 50027,
  claims: 50027,
};

const ENTRA_ERRORS: Record<number, readonly [status: number, error: string]> = {
  70003: [400, 'unsupported_grant_type'],
  700016: [400, 'unauthorized_client'],
  500011: [400, 'invalid_resource'],
  90033: [503, 'temporarily_unavailable'],
};
const INVALID_CLIENT = /^(70021[123]?|7002138|70025|700024|700027|50013|7000218)$/;

/** Entra's answer for one of its codes, with the status and the `error` it has for it. */
export function entraRefusal(code: number): Answer {
  const known = INVALID_CLIENT.test(String(code)) ? ([401, 'invalid_client'] as const) : ENTRA_ERRORS[code];
  const [status, error] = known ?? [400, 'invalid_request'];
  const body = {
    error,
    error_description: `AADSTS${code}: refused by the double.`,
    error_codes: [code],
    timestamp: '2026-11-21 12:00:00Z',
    trace_id: crypto.randomUUID(),
    correlation_id: crypto.randomUUID(),
    error_uri: `https://login.microsoftonline.com/error?code=${code}`,
  };
  return { status, body };
}

export function registryRefusal(status: number, code: string, message: string): Answer {
  return { status, headers: trace(), body: { errors: [{ code, message, detail: null }] } };
}

const trace = () => ({ 'x-ms-correlation-request-id': crypto.randomUUID() });

function isForm(headers: Received['headers']): boolean {
  return /^application\/x-www-form-urlencoded\b/.test(headers['content-type'] ?? '');
}

function faultOf(token: string, trust: Trust): Promise<TokenFault | undefined> {
  return judgeToken(token, trust).then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof TokenRefused) return error.fault;
      throw error;
    },
  );
}
