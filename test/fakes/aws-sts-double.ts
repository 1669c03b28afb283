// STS as AssumeRoleWithWebIdentity alone meets it: an unsigned form in, XML out, and temporary credentials that the ECR
// double takes. https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../src/clock.ts';
import { makeTemporaryCredential, type TemporaryCredentials } from './sigv4.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from './strict-server.ts';
import { TokenRefused, judgeToken, type TokenFault, type Trust } from './token-judge.ts';

export interface AwsRole {
  /** Whom this role trusts, instead of the subjects of the double's trust. */
  readonly subjects?: readonly string[];
  /** MaxSessionDuration, 3,600 to 43,200; 3,600 unless said. */
  readonly longestSeconds?: number;
}

export interface StsOptions {
  readonly clock: Clock;
  readonly trust: Trust;
  readonly roles: Readonly<Record<string, AwsRole>>;
}

export interface StsSide {
  readonly credentials: TemporaryCredentials;
  /** When set, the answer to everything. */
  refuseWith: { readonly status: number; readonly code: string; readonly message: string } | undefined;
  /** Whether a key that is not published counts as keys that could not be fetched, which is worth another try. */
  unknownKeyIsNotRetrieved: boolean;
  answer(request: Received): Promise<Answer>;
}

class StsRefused extends Error {
  readonly answer: Answer;

  constructor(status: number, Code: string, Message: string) {
    super(Message);
    const Error = { Type: status < 500 ? 'Sender' : 'Receiver', Code, Message };
    this.answer = xml(status, 'ErrorResponse', (RequestId) => ({ Error, RequestId }));
  }
}

const ROLE = /^arn:aws[a-z-]*:iam::(\d{12}):role\/(?:[\w+=,.@-]+\/)*([\w+=,.@-]+)$/;
const FIELD =
  /^(?:Action|Version|RoleArn|RoleSessionName|WebIdentityToken|DurationSeconds|Policy|PolicyArns\.member\.\d+\.arn)$/;
const NOT_RETRIEVED = "Couldn't retrieve verification key from your identity provider";
/** Status, code and message; those that are not here are InvalidIdentityToken too. */
const FAULTS: Partial<Record<TokenFault, [number, string, string]>> = {
  audience: [400, 'InvalidIdentityToken', 'Incorrect token audience'],
  issuer: [400, 'InvalidIdentityToken', 'No OpenIDConnect provider found in your account'],
  expired: [400, 'ExpiredTokenException', 'Token expired: the current time must be before its expiration'],
  subject: [403, 'AccessDenied', 'Not authorized to perform sts:AssumeRoleWithWebIdentity'],
};

export function createStsSide({ clock, trust, roles }: StsOptions): StsSide {
  async function assumeRole(request: Received): Promise<Answer> {
    const { RoleArn = '', RoleSessionName = '', WebIdentityToken = '', ...rest } = readForm(request);
    const [, account, roleName] = ROLE.exec(RoleArn) ?? [];
    demand(account !== undefined && RoleArn.length <= 2048, 'roleArn');
    demand(/^[\w+=,.@-]{2,64}$/.test(RoleSessionName), 'roleSessionName');
    demand(WebIdentityToken.length >= 4 && WebIdentityToken.length <= 20_000, 'webIdentityToken');
    const { DurationSeconds = '3600', Policy = '{}' } = rest;
    const seconds = /^\d+$/.test(DurationSeconds) ? Number(DurationSeconds) : 0;
    demand(seconds >= 900 && seconds <= (roles[RoleArn]?.longestSeconds ?? 3600), 'durationSeconds');
    demand(/^\{.*\}$/s.test(Policy), 'policy', 'MalformedPolicyDocument');
    // A role that is not there trusts nobody: from outside the two look the same.
    const subjects = roles[RoleArn] ? (roles[RoleArn].subjects ?? trust.subjects) : [];
    const claims = await judgeToken(WebIdentityToken, { ...trust, subjects }).catch(throwAsSts);

    const expiresAt = (Math.floor(clock.now() / 1000) + seconds) * 1000;
    const credential = makeTemporaryCredential(RoleArn, expiresAt);
    side.credentials.set(credential.accessKeyId, credential);
    const AssumeRoleWithWebIdentityResult = {
      SubjectFromWebIdentityToken: claims.sub,
      Audience: [claims.aud].flat().join(' '),
      AssumedRoleUser: {
        Arn: `arn:aws:sts::${account}:assumed-role/${roleName}/${RoleSessionName}`,
        AssumedRoleId: `AROAEXAMPLE:${RoleSessionName}`,
      },
      Credentials: {
        SessionToken: credential.sessionToken,
        SecretAccessKey: credential.secretAccessKey,
        Expiration: new Date(expiresAt).toISOString().replace('.000', ''),
        AccessKeyId: credential.accessKeyId,
      },
      Provider: `arn:aws:iam::${account}:oidc-provider/${new URL(trust.issuer.url).host}`,
    };
    return xml(200, 'AssumeRoleWithWebIdentityResponse', (RequestId) => ({
      AssumeRoleWithWebIdentityResult,
      ResponseMetadata: { RequestId },
    }));
  }

  function throwAsSts(error: unknown): never {
    if (!(error instanceof TokenRefused)) throw error;
    const isNotRetrieved = error.fault === 'unknown-key' && side.unknownKeyIsNotRetrieved;
    const message = isNotRetrieved ? NOT_RETRIEVED : error.message;
    throw new StsRefused(...(FAULTS[error.fault] ?? ([400, 'InvalidIdentityToken', message] as const)));
  }

  const side: StsSide = {
    credentials: new Map(),
    refuseWith: undefined,
    unknownKeyIsNotRetrieved: false,
    async answer(request) {
      try {
        const forced = side.refuseWith;
        if (forced) throw new StsRefused(forced.status, forced.code, forced.message);
        return await assumeRole(request);
      } catch (error) {
        if (error instanceof StsRefused) return error.answer;
        throw error;
      }
    },
  };
  return side;
}

/** One server with STS alone. */
export async function createAwsStsDouble(options: StsOptions): Promise<StrictServer & { sts: StsSide }> {
  const sts = createStsSide(options);
  return Object.assign(await createStrictServer({ clock: options.clock, answer: sts.answer }), { sts });
}

function readForm({ method, path, query, headers, body }: Received): Partial<Record<string, string>> {
  if (method !== 'POST' || path !== '/' || query.size > 0)
    throw new StsRefused(404, 'UnknownOperationException', 'STS answers POST / without a query.');
  if (headers.authorization !== undefined)
    throw new StsRefused(403, 'IncompleteSignature', 'This operation is not signed.');
  // The vendor's SDK sends x-amz-user-agent and no other of the family, so that one is borne.
  const foreign = Object.keys(headers).find((name) => /^x-amz-(?!user-agent$)|^cookie$/.test(name));
  if (foreign !== undefined)
    throw new StsRefused(403, 'InvalidClientTokenId', `The header ${foreign} has no place here.`);
  if (!/^application\/x-www-form-urlencoded(; ?charset=utf-8)?$/i.test(headers['content-type'] ?? ''))
    throw new StsRefused(400, 'MissingAction', 'The body is not a form.');
  // The real one is said to answer JSON to this, which is nowhere documented.
  if (headers.accept?.includes('json')) throw new StsRefused(406, 'NotAcceptable', 'STS answers XML.');
  const fields = new URLSearchParams(body);
  const form: Partial<Record<string, string>> = Object.fromEntries(fields);
  const { Action, Version } = form;
  if (Action !== 'AssumeRoleWithWebIdentity' || Version !== '2011-06-15')
    throw new StsRefused(400, 'InvalidAction', `Could not find operation ${Action} for version ${Version}`);
  for (const name of fields.keys()) demand(FIELD.test(name) && fields.getAll(name).length === 1, name);
  return form;
}

function demand(holds: boolean, what: string, code = 'ValidationError'): void {
  if (!holds) throw new StsRefused(400, code, `1 validation error detected: '${what}'`);
}

/** Elements by name: a text, or what stands in them. */
interface Elements {
  readonly [name: string]: string | Elements;
}

function xml(status: number, root: string, inner: (requestId: string) => Elements): Answer {
  const requestId = randomUUID();
  const open = `<${root} xmlns="https://sts.amazonaws.com/doc/2011-06-15/">`;
  const headers = { 'content-type': 'text/xml', 'x-amzn-requestid': requestId };
  return { status, headers, body: `${open}${write(inner(requestId))}</${root}>\n` };
}

const ENTITIES: Record<string, string> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": 'apos' };

function write(elements: Elements): string {
  const lines = Object.entries(elements).map(([name, inner]) => {
    const isText = typeof inner === 'string';
    const text = isText ? inner.replace(/[&<>"']/g, (letter) => `&${ENTITIES[letter]};`) : write(inner);
    return `<${name}>${text}</${name}>`;
  });
  return `\n${lines.join('\n')}\n`;
}
