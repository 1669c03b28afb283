// AWS Signature Version 4 as its receiver sees it, for `POST` without a query: written from the specification on
// node:crypto alone, so that it shares no misunderstanding with a signer of ours. And the temporary keys that sign.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

export interface SignableRequest {
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** What an Authorization header says of itself. */
export interface SignatureClaim {
  readonly accessKeyId: string;
  /** `YYYYMMDD` */
  readonly date: string;
  readonly region: string;
  readonly service: string;
  readonly signedHeaders: readonly string[];
  /** 64 digits, lower case. */
  readonly signature: string;
}

export interface TemporaryCredential {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** With all five characters that XML must escape. */
  readonly sessionToken: string;
  /** Epoch milliseconds. */
  readonly expiresAt: number;
  readonly roleArn: string;
}
/** By access key id; STS writes it, ECR reads it. */
export type TemporaryCredentials = Map<string, TemporaryCredential>;

export function makeTemporaryCredential(roleArn: string, expiresAt: number): TemporaryCredential {
  return {
    accessKeyId: `ASIA${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64'),
    sessionToken: `${randomBytes(300).toString('base64')}&<>"'`,
    expiresAt,
    roleArn,
  };
}

const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/,\s]+)\/(\d{8})\/([^/,\s]+)\/([^/,\s]+)\/aws4_request, ?SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})$/;

/** Undefined where the header is not of SigV4, or its header names are not in lower case, sorted and each named once. */
export function readAuthorization(header: string): SignatureClaim | undefined {
  const [, accessKeyId, date, region, service, names, signature] = AUTHORIZATION.exec(header) ?? [];
  if (!accessKeyId || !date || !region || !service || !names || !signature) return undefined;
  const signedHeaders = names.split(';');
  if ([...new Set(signedHeaders)].sort().join(';').toLowerCase() !== names) return undefined;
  return { accessKeyId, date, region, service, signedHeaders, signature };
}

export function canonicalRequestOf(request: SignableRequest, signedHeaders: readonly string[]): string {
  const lines = signedHeaders.map((name) => `${name}:${canonicalValue(request.headers[name])}`);
  const { method, path, body } = request;
  return [method, path, '', ...lines, '', signedHeaders.join(';'), sha256(body)].join('\n');
}

/** @param dateTime `YYYYMMDDTHHMMSSZ`, as in X-Amz-Date */
export function signatureOf(
  canonicalRequest: string,
  dateTime: string,
  { date, region, service }: Pick<SignatureClaim, 'date' | 'region' | 'service'>,
  secretAccessKey: string,
): string {
  const scope = [date, region, service, 'aws4_request'];
  const stringToSign = ['AWS4-HMAC-SHA256', dateTime, scope.join('/'), sha256(canonicalRequest)].join('\n');
  const start: Buffer = Buffer.from(`AWS4${secretAccessKey}`);
  const key = scope.reduce((outer, part) => hmac(outer, part), start);
  return hmac(key, stringToSign).toString('hex');
}

/** Whether the claimed signature is the one that this secret makes of what arrived. */
export function isSignedWith(
  request: SignableRequest,
  claim: SignatureClaim,
  dateTime: string,
  secretAccessKey: string,
): boolean {
  const canonicalRequest = canonicalRequestOf(request, claim.signedHeaders);
  const expected = signatureOf(canonicalRequest, dateTime, claim, secretAccessKey);
  return timingSafeEqual(Buffer.from(claim.signature), Buffer.from(expected));
}

/** `YYYYMMDDTHHMMSSZ` as epoch milliseconds; undefined for anything else. */
export function readDateTime(text: string): number | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!parts) return undefined;
  const [, year, month, day, hour, minute, second] = parts;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(time) ? undefined : time;
}

/** Epoch milliseconds as `YYYYMMDDTHHMMSSZ`. */
export function writeDateTime(at: number): string {
  return new Date(at).toISOString().replace(/[-:]|\.\d{3}/g, '');
}

const LARGEST_SKEW_MS = 5 * 60_000;

/** The receiver's complaint about the time of a signature; undefined where there is none. */
export function skewOf(signedAt: number, now: number): string | undefined {
  const [at, here] = [writeDateTime(signedAt), writeDateTime(now)];
  const [earliest, latest] = [now - LARGEST_SKEW_MS, now + LARGEST_SKEW_MS];
  if (signedAt < earliest)
    return `Signature expired: ${at} is now earlier than ${writeDateTime(earliest)} (${here} - 5 min.)`;
  if (signedAt > latest)
    return `Signature not yet current: ${at} is still later than ${writeDateTime(latest)} (${here} + 5 min.)`;
  return undefined;
}

/** SHA-256 in hexadecimal digits. */
export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function canonicalValue(value: string | string[] | undefined): string {
  return [value ?? ''].flat().join(',').trim().replace(/ +/g, ' ');
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
