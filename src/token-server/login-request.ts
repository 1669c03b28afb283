// From an HTTP request to a login and what it asks for: GET with Basic, or the OAuth form. Nothing is decided here.
import { SecretText } from '../secret-text.ts';
import type { RegistryScope } from './registry-scope.ts';
import { parseScopes } from './registry-scope.ts';

export interface LoginRequest {
  readonly kind: 'login';
  readonly user: string;
  readonly password: SecretText;
  readonly asked: readonly RegistryScope[];
}

/**
 * A request that is no login, and the sentence and OAuth code (RFC 6749 section 5.2) to answer with. `anonymous` has no
 * user and password at all. Sentences repeat nothing that was sent.
 */
export type NoLogin =
  | { readonly kind: 'anonymous'; readonly message: string }
  | { readonly kind: 'malformed'; readonly error: string; readonly message: string };

/** A form with a token of 16 KiB and 64 long scopes stays below this. */
export const LARGEST_FORM_BYTES = 48 * 1024;

/**
 * `GET ?service=&scope=&account=` with a Basic login (distribution, "Token Authentication Specification").
 * @throws Problem `scope-malformed`
 */
export function readGet(
  query: URLSearchParams,
  authorization: string | undefined,
  service: string,
): LoginRequest | NoLogin {
  const fault = faultOf(query, service);
  if (fault) return fault;
  const asked = parseScopes(query.getAll('scope'));
  const login = readBasic(authorization);
  if (!login) return { kind: 'anonymous', message: 'log in with a ServiceAccount token as the password' };
  return withAccount({ kind: 'login', ...login, asked }, query.get('account'));
}

/**
 * The form of distribution's "OAuth2 Token Authentication", `grant_type=password` only: what would be refreshed is the
 * ServiceAccount token, and it is not ours to refresh.
 * @throws Problem `scope-malformed`
 */
export function readForm(
  body: string,
  contentType: string | undefined,
  service: string,
): LoginRequest | NoLogin {
  if (!/^application\/x-www-form-urlencoded *(?:;|$)/i.test(contentType ?? '')) {
    return malformed('invalid_request', 'the body must be a form, application/x-www-form-urlencoded');
  }
  const form = new URLSearchParams(body);
  const fault = faultOf(form, service);
  if (fault) return fault;
  const grantType = form.get('grant_type');
  if (grantType === null) return malformed('invalid_request', 'grant_type is missing');
  if (grantType !== 'password')
    return malformed('unsupported_grant_type', 'the only grant_type here is password');
  const asked = parseScopes(form.getAll('scope'));
  const user = form.get('username');
  const password = form.get('password');
  if (user === null || password === null)
    return malformed('invalid_request', 'username or password is missing');
  return withAccount({ kind: 'login', user, password: new SecretText(password), asked }, form.get('account'));
}

const SINGLE = ['service', 'account', 'client_id', 'grant_type', 'username', 'password'];

function faultOf(parameters: URLSearchParams, service: string): NoLogin | undefined {
  const repeated = SINGLE.find((name) => parameters.getAll(name).length > 1);
  if (repeated !== undefined) return malformed('invalid_request', `${repeated} is given more than once`);
  const wanted = parameters.get('service') ?? service;
  return wanted === service ? undefined : malformed('invalid_request', `the service here is ${service}`);
}

function readBasic(authorization: string | undefined): { user: string; password: SecretText } | undefined {
  const [, encoded] = /^Basic +([A-Za-z0-9+/]+={0,2})$/i.exec(authorization ?? '') ?? [];
  if (encoded === undefined) return undefined;
  const decoded = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  return colon < 0
    ? undefined
    : { user: decoded.slice(0, colon), password: new SecretText(decoded.slice(colon + 1)) };
}

function withAccount(login: LoginRequest, account: string | null): LoginRequest | NoLogin {
  if (account === null || account === login.user) return login;
  return malformed('invalid_request', 'account and the user who logs in are different');
}

function malformed(error: string, message: string): NoLogin {
  return { kind: 'malformed', error, message };
}
