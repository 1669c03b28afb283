// ECR's token operation, private and public, behind a signature that is derived again; and STS and ECR at one URL.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
import { randomBytes, randomUUID } from 'node:crypto';
import type { Clock } from '../../src/clock.ts';
import { createStsSide, type StsOptions, type StsSide } from './aws-sts-double.ts';
import { isSignedWith, readAuthorization, readDateTime, sha256, skewOf } from './sigv4.ts';
import type { TemporaryCredential, TemporaryCredentials } from './sigv4.ts';
import { createStrictServer, type Answer, type Received, type StrictServer } from './strict-server.ts';

export interface EcrOptions {
  readonly clock: Clock;
  readonly credentials: TemporaryCredentials;
  /** Of the private service, `eu-west-1` unless said; the public one is in us-east-1 alone. */
  readonly region?: string;
}

export interface EcrRefusal {
  readonly status: number;
  /** As on the wire, so with a `prefix#` where one is wished. */
  readonly type: string;
  readonly message: string;
  /** Names the type in x-amzn-ErrorType alone; the body is `{}`. */
  readonly headerOnly?: boolean;
  /** `message` unless said: some services write it large. */
  readonly messageField?: 'message' | 'Message';
}

/** What is to differ from a good answer. */
export interface EcrReply {
  /** Epoch milliseconds; 12 hours from now unless said. */
  readonly expiresAt?: number;
  /** `1795305600.5`, `1795305600`, or `1.7953056E9`; a fraction unless said. */
  readonly notation?: 'fraction' | 'whole' | 'exponent';
  /** What is encoded instead of `AWS:<password>`. */
  readonly login?: string;
  /** What stands on the wire instead of an encoded login. */
  readonly authorizationToken?: string;
}

export interface EcrSide {
  /** Passwords that were given out, with the role they are for. */
  readonly passwords: Map<string, string>;
  /** When set, the answer to everything. */
  refuseWith: EcrRefusal | undefined;
  reply: EcrReply;
  answer(request: Received): Answer;
}

class EcrRefused extends Error {
  readonly refusal: EcrRefusal;

  constructor(type: string, message: string) {
    super(message);
    this.refusal = { status: 400, type, message };
  }
}

const LIFE_MS = 12 * 3600_000;
const SERVICES: Record<string, string> = {
  'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken': 'ecr',
  'SpencerFrontendService.GetAuthorizationToken': 'ecr-public',
};

function createEcrSide({ clock, credentials, region = 'eu-west-1' }: EcrOptions): EcrSide {
  function judge({
    method,
    path,
    query,
    headers,
    body,
  }: Received): TemporaryCredential & { service: string } {
    const service = SERVICES[String(headers['x-amz-target'])];
    demand(service !== undefined, 'UnknownOperationException', '');
    demand(method === 'POST' && path === '/' && query.size === 0, 'UnknownOperationException', 'POST /');
    demand(headers['content-type'] === 'application/x-amz-json-1.1', 'SerializationException', 'the type');
    demand(body === '{}', 'SerializationException', 'the body is {}');
    const { authorization = '' } = headers;
    demand(authorization !== '', 'MissingAuthenticationTokenException', 'Missing Authentication Token');
    const claim = readAuthorization(authorization);
    const dateTime = String(headers['x-amz-date']);
    const signedAt = readDateTime(dateTime);
    demand(claim !== undefined && signedAt !== undefined, 'IncompleteSignatureException', authorization);
    // content-type is signed by some clients and by others not; the service bears both.
    const unsigned = ['host', ...Object.keys(headers)].filter(
      (name) => /^host$|^x-amz-/.test(name) && !claim.signedHeaders.includes(name),
    );
    demand(unsigned.length === 0, 'InvalidSignatureException', `${unsigned.join()} must be signed`);

    const credential = credentials.get(claim.accessKeyId);
    const isKnown = credential?.sessionToken === headers['x-amz-security-token'];
    demand(credential && isKnown, 'UnrecognizedClientException', 'The security token is invalid.');
    demand(credential.expiresAt > clock.now(), 'ExpiredTokenException', 'The security token is expired');
    const skew = skewOf(signedAt, clock.now());
    demand(skew === undefined, 'InvalidSignatureException', skew ?? '');
    const scope = [claim.date, claim.region, claim.service].join('/');
    const rightScope = [dateTime.slice(0, 8), service === 'ecr' ? region : 'us-east-1', service].join('/');
    demand(scope === rightScope, 'InvalidSignatureException', `Credential should be scoped to ${rightScope}`);
    const bodyHash = headers['x-amz-content-sha256'] ?? sha256(body);
    const isSigned = isSignedWith(
      { method, path, headers, body },
      claim,
      dateTime,
      credential.secretAccessKey,
    );
    demand(isSigned && bodyHash === sha256(body), 'InvalidSignatureException', MISMATCH);
    return { ...credential, service };
  }

  function grant({ roleArn, service }: { roleArn: string; service: string }): Answer {
    const password = randomBytes(1200).toString('base64');
    side.passwords.set(password, roleArn);
    const {
      expiresAt = clock.now() + LIFE_MS,
      notation = 'fraction',
      login = `AWS:${password}`,
    } = side.reply;
    const { authorizationToken = Buffer.from(login).toString('base64') } = side.reply;
    const account = roleArn.split(':')[4];
    const proxyEndpoint = `https://${account}.dkr.ecr.${region}.amazonaws.com`;
    const data = { authorizationToken, expiresAt: 0, ...(service === 'ecr' && { proxyEndpoint }) };
    // JSON.stringify knows one notation of a number only.
    const text = JSON.stringify({ authorizationData: service === 'ecr' ? [data] : data });
    return json(200, text.replace('"expiresAt":0', `"expiresAt":${writeSeconds(expiresAt, notation)}`));
  }

  const side: EcrSide = {
    passwords: new Map(),
    refuseWith: undefined,
    reply: {},
    answer(request) {
      if (side.refuseWith) return refuse(side.refuseWith);
      try {
        return grant(judge(request));
      } catch (error) {
        if (error instanceof EcrRefused) return refuse(error.refusal);
        throw error;
      }
    },
  };
  return side;
}

/** One server with ECR alone; the credentials are what an STS side, or a test, has put there. */
export async function createEcrDouble(options: EcrOptions): Promise<StrictServer & { ecr: EcrSide }> {
  const ecr = createEcrSide(options);
  return Object.assign(await createStrictServer({ clock: options.clock, answer: ecr.answer }), { ecr });
}

export type AwsDouble = StrictServer & { readonly sts: StsSide; readonly ecr: EcrSide };

/** STS and ECR at one URL, as an `endpoint` for both: what names an X-Amz-Target is for ECR. */
export async function createAwsDouble(options: StsOptions & Pick<EcrOptions, 'region'>): Promise<AwsDouble> {
  const sts = createStsSide(options);
  const ecr = createEcrSide({ ...options, credentials: sts.credentials });
  const answer = (request: Received) => ('x-amz-target' in request.headers ? ecr : sts).answer(request);
  return Object.assign(await createStrictServer({ clock: options.clock, answer }), { sts, ecr });
}

const MISMATCH = 'The request signature we calculated does not match the signature you provided.';

function demand(holds: unknown, type: string, message: string): asserts holds {
  if (!holds) throw new EcrRefused(type, message);
}

function writeSeconds(at: number, notation: 'fraction' | 'whole' | 'exponent'): string {
  if (notation === 'whole') return String(Math.floor(at / 1000));
  if (notation === 'exponent') return (at / 1000).toExponential().replace('e+', 'E');
  return (at / 1000).toFixed(3);
}

function refuse({ status, type, message, headerOnly, messageField = 'message' }: EcrRefusal): Answer {
  const body = headerOnly ? {} : { __type: type, [messageField]: message };
  return json(status, JSON.stringify(body), { 'x-amzn-errortype': type });
}

function json(status: number, body: string, more: Record<string, string> = {}): Answer {
  const headers = { 'content-type': 'application/x-amz-json-1.1', 'x-amzn-requestid': randomUUID(), ...more };
  return { status, headers, body };
}
