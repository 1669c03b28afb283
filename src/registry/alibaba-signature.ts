// Alibaba Cloud's request signature, version 3 (ACS3-HMAC-SHA256), for a POST without a body.
// https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature
import { createHash, createHmac } from 'node:crypto';
import type { SecretText } from '../secret-text.ts';

export interface Acs3Wish {
  readonly url: URL;
  readonly action: string;
  readonly version: string;
  readonly keys: {
    readonly AccessKeyId: string;
    readonly AccessKeySecret: SecretText;
    readonly SecurityToken?: SecretText;
  };
  /** Epoch milliseconds. */
  readonly at: number;
  /** Accepted once. */
  readonly nonce: string;
}

const ALGORITHM = 'ACS3-HMAC-SHA256';

/** The headers to send, `host` left to the transport. */
export function signAcs3({ url, action, version, keys, at, nonce }: Acs3Wish): Record<string, string> {
  const contentHash = sha256('');
  const headers: Record<string, string> = {
    host: url.host,
    'x-acs-action': action,
    'x-acs-content-sha256': contentHash,
    'x-acs-date': instant(at),
    ...(keys.SecurityToken && { 'x-acs-security-token': keys.SecurityToken.reveal() }),
    'x-acs-signature-nonce': nonce,
    'x-acs-version': version,
  };
  const names = Object.keys(headers).sort();
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join('');
  const query = [...url.searchParams].map((pair) => pair.map(encode).join('=')).sort();
  const canonical = ['POST', url.pathname, query.join('&'), lines, names.join(';'), contentHash].join('\n');
  const signature = createHmac('sha256', keys.AccessKeySecret.reveal())
    .update(`${ALGORITHM}\n${sha256(canonical)}`)
    .digest('hex');
  const { host: _byTransport, ...sent } = headers;
  const authorization = `${ALGORITHM} Credential=${keys.AccessKeyId},SignedHeaders=${names.join(';')},Signature=${signature}`;
  return { ...sent, authorization };
}

/** ISO 8601 in whole seconds, as every call of this cloud wants it. */
export function instant(at: number): string {
  return new Date(at).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** RFC 3986 section 2.3: what JavaScript leaves alone beyond it is encoded too. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
