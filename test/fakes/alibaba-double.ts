// A double of Alibaba's STS and of its container registry, on one server: the first takes a ServiceAccount token
// unsigned, the second only what is signed with the keys of the first, in the old way (RPC) or the new one (ACS3).
import { createHash, createHmac, randomBytes } from 'node:crypto';
import type { Clock } from '../../src/clock.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from './strict-server.ts';
import { TokenRefused, judgeToken, type TokenFault, type Trust } from './token-judge.ts';

const LONGEST_SKEW_MS = 15 * 60_000;
const LONGEST_SESSION_SECONDS = 3600;
const STS_FIELDS = [
  'Format',
  'OIDCProviderArn',
  'OIDCToken',
  'RoleArn',
  'RoleSessionName',
  'DurationSeconds',
  'Policy',
];
const RPC_FIELDS = [
  'Format',
  'AccessKeyId',
  'SignatureMethod',
  'SignatureVersion',
  'Signature',
  'SecurityToken',
];
const PUBLIC_FIELDS = ['Action', 'Version', 'Timestamp', 'SignatureNonce'];
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

export interface AlibabaOptions {
  readonly clock: Clock;
  readonly trust: Trust;
  readonly roleArn: string;
  readonly oidcProviderArn: string;
  /** `cri-…` */
  readonly instanceId: string;
}

export interface AlibabaDouble extends StrictServer {
  /** While set, what that half answers whatever comes. */
  refuseWith: { sts?: Answer; registry?: Answer };
  /** Of the next login's `ExpireTime`: when the session ends, not said, or this time in epoch milliseconds. */
  expiry: 'usual' | 'missing' | number;
  /** `TempUsername` of the next login. */
  username: string;
  /** Whether the registry lets this login in now. One whose expiry is not said lasts as long as its session. */
  accepts(username: string, password: string): boolean;
}

interface Session {
  readonly secret: string;
  readonly securityToken: string;
  readonly expiresAt: number;
}

export async function createAlibabaDouble(options: AlibabaOptions): Promise<AlibabaDouble> {
  const { clock, trust, roleArn, oidcProviderArn, instanceId } = options;
  const sessions = new Map<string, Session>();
  const logins = new Map<string, { username: string; expiresAt: number }>();
  const nonces = new Set<string>();

  async function answer(request: Received): Promise<Answer> {
    const { method, path, query, headers, body } = request;
    if (path !== '/') return alibabaRefusal(404, 'InvalidAction.NotFound');
    const isForm = /^application\/x-www-form-urlencoded\b/.test(headers['content-type'] ?? '');
    const pairs = [...query, ...(isForm ? new URLSearchParams(body) : [])];
    const fields = Object.fromEntries(pairs);
    const action = String(headers['x-acs-action'] ?? fields['Action']);
    const forced = action === 'AssumeRoleWithOIDC' ? double.refuseWith.sts : double.refuseWith.registry;
    if (forced) return forced;
    if (method !== 'POST') return alibabaRefusal(400, 'UnsupportedHTTPMethod');
    if (pairs.length > Object.keys(fields).length || (body !== '' && !isForm))
      return alibabaRefusal(400, 'InvalidParameter');
    if (action === 'AssumeRoleWithOIDC') return await assumeRole(headers, fields);
    if (action === 'GetAuthorizationToken') return authorize(request, fields);
    return alibabaRefusal(404, 'InvalidAction.NotFound');
  }

  async function assumeRole(headers: Received['headers'], fields: Fields): Promise<Answer> {
    const fault = fieldFault(fields, '2015-04-01', [...PUBLIC_FIELDS, ...STS_FIELDS]);
    // Nobody has keys yet: who signs, or sends another session's token, has mixed something up.
    if (fault || headers.authorization !== undefined) return fault ?? alibabaRefusal(400, 'InvalidParameter');
    const stale = freshnessFault(fields['Timestamp'], fields['SignatureNonce']);
    if (stale) return stale;
    if (fields['Format'] !== 'JSON') return alibabaRefusal(400, 'InvalidParameter.Format');
    if (!/^[A-Za-z0-9.@_-]{2,64}$/.test(fields['RoleSessionName'] ?? ''))
      return alibabaRefusal(400, 'InvalidParameter.RoleSessionName');
    const seconds = Number(fields['DurationSeconds'] ?? LONGEST_SESSION_SECONDS);
    if (!Number.isInteger(seconds) || seconds < 900 || seconds > LONGEST_SESSION_SECONDS)
      return alibabaRefusal(400, 'InvalidParameter.DurationSeconds');
    if (fields['OIDCProviderArn'] !== oidcProviderArn)
      return alibabaRefusal(401, 'AuthenticationFail.NoPermission');
    try {
      await judgeToken(fields['OIDCToken'] ?? '', trust);
    } catch (error) {
      if (error instanceof TokenRefused)
        return alibabaRefusal(401, `AuthenticationFail.${TOKEN_FAULTS[error.fault]}`);
      throw error;
    }
    if (fields['RoleArn'] !== roleArn) return alibabaRefusal(404, 'EntityNotExist.Role');
    const id = `STS.${randomBytes(12).toString('hex')}`;
    const expiresAt = (Math.floor(clock.now() / 1000) + seconds) * 1000;
    const session = { secret: secret(), securityToken: `CAIS+/${secret()}==`, expiresAt };
    sessions.set(id, session);
    const Credentials = {
      AccessKeyId: id,
      AccessKeySecret: session.secret,
      SecurityToken: session.securityToken,
      Expiration: new Date(expiresAt).toISOString().replace('.000', ''),
    };
    return { body: { RequestId: crypto.randomUUID(), Credentials } };
  }

  function authorize(request: Received, fields: Fields): Answer {
    const call = request.headers['x-acs-action'] === undefined ? readRpc(request, fields) : readAcs3(request);
    if (!call) return alibabaRefusal(400, 'IncompleteSignature');
    const allowed = call.isRpc ? [...PUBLIC_FIELDS, ...RPC_FIELDS, 'InstanceId'] : ['InstanceId'];
    const fault = fieldFault({ ...fields, Version: call.version }, '2018-12-01', [...allowed, 'Version']);
    if (fault) return fault;
    const session = sessions.get(call.accessKeyId);
    if (!session) return alibabaRefusal(404, 'InvalidAccessKeyId.NotFound');
    if (call.securityToken === undefined) return alibabaRefusal(400, 'MissingSecurityToken');
    if (call.securityToken !== session.securityToken)
      return alibabaRefusal(400, 'InvalidSecurityToken.MismatchWithAccessKey');
    if (session.expiresAt <= clock.now()) return alibabaRefusal(400, 'InvalidSecurityToken.Expired');
    if (call.signature !== call.signatureWith(session.secret))
      return alibabaRefusal(400, 'SignatureDoesNotMatch');
    const stale = freshnessFault(call.timestamp, call.nonce);
    if (stale) return stale;
    // Without it the old way answers XML, which nobody here reads.
    if (call.isRpc && fields['Format'] !== 'JSON') return alibabaRefusal(400, 'InvalidParameter.Format');
    if (fields['InstanceId'] !== instanceId) return alibabaRefusal(404, 'INSTANCE_NOT_EXIST');
    const { expiry, username } = double;
    const expiresAt = typeof expiry === 'number' ? expiry : session.expiresAt;
    // As the real ones: with a colon in it, which must not end the password.
    const password = `${secret()}:${randomBytes(20).toString('hex')}`;
    logins.set(password, { username, expiresAt });
    const login = { TempUsername: username, AuthorizationToken: password };
    const time = expiry === 'missing' ? {} : { ExpireTime: expiresAt };
    return { body: { IsSuccess: true, Code: 'success', RequestId: crypto.randomUUID(), ...login, ...time } };
  }

  function freshnessFault(timestamp = '', nonce = ''): Answer | undefined {
    if (!TIME.test(timestamp)) return alibabaRefusal(400, 'InvalidTimeStamp.Format');
    if (Math.abs(Date.parse(timestamp) - clock.now()) > LONGEST_SKEW_MS)
      return alibabaRefusal(400, 'InvalidTimeStamp.Expired');
    if (nonce === '') return alibabaRefusal(400, 'MissingParameter');
    if (nonces.has(nonce)) return alibabaRefusal(400, 'SignatureNonceUsed');
    nonces.add(nonce);
    return undefined;
  }

  const double: AlibabaDouble = Object.assign(await createStrictServer({ clock, answer }), {
    refuseWith: {},
    expiry: 'usual',
    username: 'cr_temp_user',
    accepts(username, password) {
      const login = logins.get(password);
      return login !== undefined && login.username === username && login.expiresAt > clock.now();
    },
  } satisfies Omit<AlibabaDouble, keyof StrictServer>);
  return double;
}

type Fields = Readonly<Record<string, string | undefined>>;

/** What a signed call says, whichever way it is signed. */
interface SignedCall {
  readonly isRpc: boolean;
  readonly accessKeyId: string;
  readonly version: string | undefined;
  readonly securityToken: string | undefined;
  readonly timestamp: string | undefined;
  readonly nonce: string | undefined;
  readonly signature: string;
  signatureWith(secret: string): string;
}

function readRpc({ method, headers }: Received, fields: Fields): SignedCall | undefined {
  const { AccessKeyId, Signature, SignatureMethod, SignatureVersion, ...signed } = fields;
  const isKnown = SignatureMethod === 'HMAC-SHA1' && SignatureVersion === '1.0';
  if (!isKnown || !AccessKeyId || !Signature || headers.authorization !== undefined) return undefined;
  return {
    isRpc: true,
    accessKeyId: AccessKeyId,
    version: signed['Version'],
    securityToken: signed['SecurityToken'],
    timestamp: signed['Timestamp'],
    nonce: signed['SignatureNonce'],
    signature: Signature,
    signatureWith: (key) =>
      rpcSignature(method, { AccessKeyId, SignatureMethod, SignatureVersion, ...signed }, key),
  };
}

/** Signed must be all headers that steer the call; the hash of the body is taken again, whatever its header says. */
function readAcs3({ method, path, query, headers, body }: Received): SignedCall | undefined {
  const form = /^ACS3-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/;
  const [, accessKeyId, names, signature] = form.exec(headers.authorization ?? '') ?? [];
  if (!accessKeyId || !names || !signature) return undefined;
  const steering = Object.keys(headers).filter((name) => /^(host|content-type|x-acs-.+)$/.test(name));
  const signedHeaders = names.split(';');
  const isComplete = steering.every((name) => signedHeaders.includes(name));
  const isHashed = headers['x-acs-content-sha256'] === sha256(body);
  if (!isComplete || !isHashed || names !== signedHeaders.toSorted().join(';')) return undefined;
  const values = Object.fromEntries(signedHeaders.map((name) => [name, String(headers[name] ?? '')]));
  return {
    isRpc: false,
    accessKeyId,
    version: values['x-acs-version'],
    securityToken: values['x-acs-security-token'],
    timestamp: values['x-acs-date'],
    nonce: values['x-acs-signature-nonce'],
    signature,
    signatureWith: (key) => acs3Signature({ method, path, query: [...query], headers: values, body }, key),
  };
}

/** https://help.aliyun.com/zh/sdk/product-overview/rpc-mechanism */
export function rpcSignature(method: string, fields: Fields, secret: string): string {
  const text = `${method}&%2F&${percentEncode(canonicalQuery(Object.entries(fields)))}`;
  return createHmac('sha1', `${secret}&`).update(text).digest('base64');
}

/** https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature; all headers are signed. */
export function acs3Signature(
  request: {
    method: string;
    path: string;
    query: [string, string][];
    headers: Record<string, string>;
    body: string;
  },
  secret: string,
): string {
  const { method, path, query, headers, body } = request;
  const names = Object.keys(headers).sort();
  const lines = names.map((name) => `${name}:${headers[name]?.trim()}\n`).join('');
  const canonical = [method, path, canonicalQuery(query), lines, names.join(';'), sha256(body)].join('\n');
  return createHmac('sha256', secret)
    .update(`ACS3-HMAC-SHA256\n${sha256(canonical)}`)
    .digest('hex');
}

function canonicalQuery(pairs: [string, string | undefined][]): string {
  const encoded = pairs.map(([name, value = '']) => `${percentEncode(name)}=${percentEncode(value)}`);
  return encoded.sort().join('&');
}

/** RFC 3986: what encodeURIComponent leaves as it is beyond that, is encoded too. */
function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const secret = () => randomBytes(30).toString('base64url');

const TOKEN_FAULTS: Record<TokenFault, string> = {
  audience: 'OIDCToken.AudienceNotMatch',
  expired: 'OIDCToken.Expired',
  signature: 'OIDCToken.InvalidSignature',
  'unknown-key': 'OIDCToken.InvalidSignature',
  subject: 'NoPermission',
  issuer: 'OIDCToken.Invalid',
  'not-yet-valid': 'OIDCToken.Invalid',
  malformed: 'OIDCToken.Invalid',
  claims: 'OIDCToken.Invalid',
};

function fieldFault(fields: Fields, version: string, allowed: readonly string[]): Answer | undefined {
  if (fields['Version'] !== version) return alibabaRefusal(400, 'InvalidVersion');
  const unknown = Object.keys(fields).find((name) => !allowed.includes(name));
  return unknown === undefined ? undefined : alibabaRefusal(400, 'InvalidParameter');
}

/** As both halves write their errors. */
export function alibabaRefusal(status: number, code: string, message = 'refused by the double'): Answer {
  const Recommend = `https://api.alibabacloud.com/troubleshoot?q=${code}`;
  return { status, body: { Code: code, Message: message, RequestId: crypto.randomUUID(), Recommend } };
}
