// Google's token exchange and its impersonation of service accounts, on one server.
// https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token and
// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
import { randomBytes } from 'node:crypto';
import type { Clock } from '../../src/clock.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from './strict-server.ts';
import { TokenRefused, judgeToken, type TokenFault, type Trust } from './token-judge.ts';

export interface GoogleServiceAccount {
  /** Subjects that may impersonate it; all that the trust lets in unless said. */
  readonly impersonators?: readonly string[];
  /** 3,600 unless an organisation policy allows more. */
  readonly longestSeconds?: number;
}

export interface GoogleOptions {
  readonly clock: Clock;
  /** Its audience is that of the provider's default unless said. */
  readonly trust: Trust;
  /** `projects/<number>/locations/global/workloadIdentityPools/<pool>/providers/<provider>` */
  readonly provider: string;
  /** By e-mail. */
  readonly serviceAccounts?: Readonly<Record<string, GoogleServiceAccount>>;
}

export interface GoogleToken {
  /** The subject of a federated token, the e-mail of an impersonating one. */
  readonly principal: string;
  readonly scopes: readonly string[];
  /** Epoch milliseconds. */
  readonly expiresAt: number;
}

export interface GoogleDouble extends StrictServer {
  /** Tokens that were given out, by either operation. */
  readonly federatedTokens: Map<string, GoogleToken>;
  readonly accessTokens: Map<string, GoogleToken>;
  /** When set, the token exchange's answer to everything. */
  refuseExchangeWith: { status: number; error: string; description?: string; uri?: string } | undefined;
  /** When set, the impersonation's answer to everything. */
  refuseImpersonationWith:
    | { status: number; code: string; message: string; details?: readonly object[] }
    | undefined;
  /** When set, goes out as `expires_in`, whatever the token's true life. */
  expiresIn: unknown;
  /** When set, goes out as `expireTime`. */
  expireTime: unknown;
}

class GoogleRefused extends Error {
  readonly answer: Answer;

  constructor(status: number, body: unknown) {
    super(JSON.stringify(body));
    this.answer = { status, body };
  }
}

const URN = 'urn:ietf:params:oauth';
const SCOPE = 'https://www.googleapis.com/auth/';
const LONGEST_SECONDS = 3600;
const LONGEST_SUBJECT_BYTES = 127;
const IMPERSONATION = /^\/v1\/projects\/-\/serviceAccounts\/([^/:]+):generateAccessToken$/;
/** `error` and `error_description`; what is not here is invalid_grant too. */
const FAULTS: Partial<Record<TokenFault, [string, string]>> = {
  'unknown-key': ['invalid_grant', "The token's signing key is not among the issuer's keys."],
  issuer: ['invalid_grant', 'The issuer in ID Token does not match the expected one.'],
  audience: ['invalid_grant', 'The audience in ID Token does not match the expected audience.'],
  expired: ['invalid_grant', 'The ID Token is stale to sign-in: it has expired.'],
  subject: ['unauthorized_client', 'The given credential is rejected by the attribute condition.'],
};

export async function createGoogleDouble(options: GoogleOptions): Promise<GoogleDouble> {
  const { clock, provider, serviceAccounts = {} } = options;
  const trust = { audience: `https://iam.googleapis.com/${provider}`, ...options.trust };

  async function exchange(request: Received): Promise<Answer> {
    const form = readForm(request);
    const audience = form.get('audience') ?? '';
    const isProvider = /^\/\/iam\.googleapis\.com\/projects\/\d+\/locations\/global\/workloadIdentityPools\//;
    demandOAuth(isProvider.test(audience), 'invalid_request', 'Invalid value for "audience".');
    const isThere = audience === `//iam.googleapis.com/${provider}`;
    demandOAuth(isThere, 'invalid_target', 'The target service indicated by the "audience" is invalid.');
    const claims = await judgeToken(form.get('subject_token') ?? '', trust).catch(throwAsOAuth);
    const isShort = Buffer.byteLength(claims.sub) <= LONGEST_SUBJECT_BYTES;
    demandOAuth(
      isShort,
      'invalid_request',
      'The size of mapped attribute google.subject exceeds the 127 bytes limit.',
    );

    const seconds = Math.floor(Math.min(LONGEST_SECONDS, Number(claims.exp) - clock.now() / 1000));
    const scopes = form.get('scope')?.split(' ') ?? [];
    const token = `ya29.d.${randomBytes(200).toString('base64url')}`;
    double.federatedTokens.set(token, {
      principal: claims.sub,
      scopes,
      expiresAt: clock.now() + seconds * 1000,
    });
    const body = {
      access_token: token,
      issued_token_type: `${URN}:token-type:access_token`,
      token_type: 'Bearer',
      expires_in: double.expiresIn === undefined ? seconds : double.expiresIn,
    };
    return { body };
  }

  function impersonate(request: Received, email: string): Answer {
    const bearer = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const caller = double.federatedTokens.get(bearer);
    const isCurrent = caller !== undefined && caller.expiresAt > clock.now();
    demandRpc(isCurrent, 401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.');
    const mayAsk = caller.scopes.some((scope) => [`${SCOPE}iam`, `${SCOPE}cloud-platform`].includes(scope));
    demandRpc(mayAsk, 403, 'PERMISSION_DENIED', 'Request had insufficient authentication scopes.');
    const { scopes, seconds } = readWish(request);
    const account = serviceAccounts[email];
    demandRpc(account !== undefined, 404, 'NOT_FOUND', `Not found; Gaia id not found for email ${email}`);
    const { impersonators = trust.subjects, longestSeconds = LONGEST_SECONDS } = account;
    demandRpc(impersonators.includes(caller.principal), 403, 'PERMISSION_DENIED', DENIED);
    demandRpc(seconds > 0 && seconds <= longestSeconds, 400, 'INVALID_ARGUMENT', 'The lifetime is invalid.');

    const expiresAt = (Math.floor(clock.now() / 1000) + seconds) * 1000;
    const accessToken = `ya29.c.${randomBytes(200).toString('base64url')}`;
    double.accessTokens.set(accessToken, { principal: email, scopes, expiresAt });
    const expireTime = new Date(expiresAt).toISOString().replace('.000', '');
    return {
      body: { accessToken, expireTime: double.expireTime === undefined ? expireTime : double.expireTime },
    };
  }

  async function answer(request: Received): Promise<Answer> {
    const [, email] = IMPERSONATION.exec(request.path) ?? [];
    const { refuseExchangeWith: oauth, refuseImpersonationWith: rpc } = double;
    try {
      demandRpc(request.query.size === 0, 400, 'INVALID_ARGUMENT', 'Unknown query parameters.');
      demandRpc(request.headers.cookie === undefined, 400, 'INVALID_ARGUMENT', 'A cookie has no place here.');
      if (email !== undefined) {
        demandRpc(!rpc, rpc?.status ?? 0, rpc?.code ?? '', rpc?.message ?? '', rpc?.details);
        return impersonate(request, decodeURIComponent(email));
      }
      demandRpc(request.path === '/v1/token', 404, 'NOT_FOUND', 'The requested URL was not found.');
      if (!oauth) return await exchange(request);
      const { status, error, description, uri } = oauth;
      throw new GoogleRefused(status, { error, error_description: description, error_uri: uri });
    } catch (error) {
      if (error instanceof GoogleRefused) return error.answer;
      throw error;
    }
  }

  const double: GoogleDouble = Object.assign(await createStrictServer({ clock, answer }), {
    federatedTokens: new Map(),
    accessTokens: new Map(),
    refuseExchangeWith: undefined,
    refuseImpersonationWith: undefined,
    expiresIn: undefined,
    expireTime: undefined,
  });
  return double;
}

const FORM: Record<string, RegExp> = {
  grant_type: new RegExp(`^${URN}:grant-type:token-exchange$`),
  audience: /./,
  scope: new RegExp(`^${SCOPE}[\\w.-]+( ${SCOPE}[\\w.-]+)*$`),
  requested_token_type: new RegExp(`^${URN}:token-type:access_token$`),
  subject_token_type: new RegExp(`^${URN}:token-type:jwt$`),
  subject_token: /./,
};

function readForm({ method, headers, body }: Received): URLSearchParams {
  demandOAuth(method === 'POST', 'invalid_request', 'Only POST.');
  demandOAuth(headers.authorization === undefined, 'invalid_request', 'No Authorization belongs here.');
  const isForm = /^application\/x-www-form-urlencoded(; ?charset=utf-8)?$/i.test(
    headers['content-type'] ?? '',
  );
  demandOAuth(isForm, 'invalid_request', 'The body is not a form.');
  const form = new URLSearchParams(body);
  for (const name of form.keys()) demandOAuth(name in FORM, 'invalid_request', `Unknown name "${name}"`);
  for (const [name, grammar] of Object.entries(FORM)) {
    const values = form.getAll(name);
    const isGood = values.length === 1 && grammar.test(values[0] ?? '');
    demandOAuth(isGood, 'invalid_request', `Invalid value for "${name}".`);
  }
  return form;
}

/** What a caller asks for; `delegates` is allowed and has no effect. */
function readWish({ method, headers, body }: Received): { scopes: string[]; seconds: number } {
  demandRpc(method === 'POST', 404, 'NOT_FOUND', 'Only POST.');
  const isJson = /^application\/json(; ?charset=utf-8)?$/i.test(headers['content-type'] ?? '');
  demandRpc(isJson && /^\{.*\}$/s.test(body), 400, 'INVALID_ARGUMENT', 'The body is not JSON.');
  const { scope, lifetime = `${LONGEST_SECONDS}s`, delegates: _, ...more } = JSON.parse(body);
  demandRpc(
    Object.keys(more).length === 0,
    400,
    'INVALID_ARGUMENT',
    `Unknown name: ${Object.keys(more).join()}`,
  );
  const isScopes =
    Array.isArray(scope) && scope.length > 0 && scope.every((one) => String(one).startsWith(SCOPE));
  demandRpc(isScopes, 400, 'INVALID_ARGUMENT', 'Scope required.');
  const [, seconds] = /^(\d+)s$/.exec(String(lifetime)) ?? [];
  demandRpc(seconds !== undefined, 400, 'INVALID_ARGUMENT', 'The lifetime is not a duration.');
  return { scopes: scope, seconds: Number(seconds) };
}

const DENIED = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).";

function throwAsOAuth(error: unknown): never {
  if (!(error instanceof TokenRefused)) throw error;
  const [code, description] = FAULTS[error.fault] ?? ['invalid_grant', error.message];
  throw new GoogleRefused(400, { error: code, error_description: description });
}

function demandOAuth(holds: boolean, error: string, error_description: string): void {
  if (!holds) throw new GoogleRefused(400, { error, error_description });
}

function demandRpc(
  holds: boolean,
  code: number,
  status: string,
  message: string,
  details: readonly object[] = [],
): asserts holds {
  if (!holds) throw new GoogleRefused(code, { error: { code, message, status, details } });
}
