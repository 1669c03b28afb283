// The receiver's SigV4 against vectors that botocore's signer made.
import { expect, test } from 'vitest';
import {
  canonicalRequestOf,
  isSignedWith,
  readAuthorization,
  readDateTime,
  sha256,
  signatureOf,
  writeDateTime,
} from './sigv4.ts';

const DATE_TIME = '20260102T030405Z';
const SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';
const SIGNED_HEADERS = ['content-type', 'host', 'x-amz-date', 'x-amz-security-token', 'x-amz-target'];

function requestTo(host: string, target: string) {
  return {
    method: 'POST',
    path: '/',
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      host,
      'x-amz-date': DATE_TIME,
      'x-amz-security-token': 'EXAMPLESESSIONTOKEN',
      'x-amz-target': target,
      accept: '*/*',
    },
    body: '{}',
  };
}

const PRIVATE = {
  host: 'api.ecr.eu-west-1.amazonaws.com',
  target: 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken',
  region: 'eu-west-1',
  service: 'ecr',
  canonical: '755b62259a5ec47bb4cbe58eb3652f174ec6f2621b3cc94801ef3173b4c28c05',
  signature: 'b7f65e1b03bd4df25652a9c7805b1145653e4543c9631139ba75a06aad4c766c',
};
const PUBLIC = {
  host: 'api.ecr-public.us-east-1.amazonaws.com',
  target: 'SpencerFrontendService.GetAuthorizationToken',
  region: 'us-east-1',
  service: 'ecr-public',
  canonical: '4d12c96ee0bd81492215e5b49a4f78c4ced5977201243a00d995409e1888b0db',
  signature: 'fd08c969335b86ebcc0f2a5ad63a0eed7509bcb88def085291c771053dab6eba',
};

function headerFor(vector: typeof PRIVATE, signature = vector.signature, names = SIGNED_HEADERS.join(';')) {
  const scope = `20260102/${vector.region}/${vector.service}/aws4_request`;
  return `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/${scope}, SignedHeaders=${names}, Signature=${signature}`;
}

test.for([PRIVATE, PUBLIC])(
  'the signature for $service is the one that botocore makes',
  ({ host, target, region, service, canonical, signature }) => {
    const canonicalRequest = canonicalRequestOf(requestTo(host, target), SIGNED_HEADERS);

    expect(sha256(canonicalRequest)).toBe(canonical);
    expect(signatureOf(canonicalRequest, DATE_TIME, { date: '20260102', region, service }, SECRET)).toBe(
      signature,
    );
  },
);

test('a request is signed with the secret that signed it, and with no other', () => {
  const claim = readAuthorization(headerFor(PRIVATE))!; // it is well-formed
  const request = requestTo(PRIVATE.host, PRIVATE.target);

  expect(claim).toMatchObject({ accessKeyId: 'AKIDEXAMPLE', date: '20260102', region: 'eu-west-1' });
  expect(isSignedWith(request, claim, DATE_TIME, SECRET)).toBe(true);
  expect(isSignedWith(request, claim, DATE_TIME, `${SECRET}x`)).toBe(false);
  expect(isSignedWith({ ...request, body: '{ }' }, claim, DATE_TIME, SECRET)).toBe(false);
  expect(isSignedWith(request, { ...claim, region: 'eu-west-2' }, DATE_TIME, SECRET)).toBe(false);
});

test('blanks around and within a header are as one blank', () => {
  const request = { method: 'POST', path: '/', headers: { host: '  a   b ' }, body: '' };

  expect(canonicalRequestOf(request, ['host'])).toContain('\nhost:a b\n');
});

test.for([
  ['no header', ''],
  ['another algorithm', headerFor(PRIVATE).replace('SHA256', 'SHA1')],
  ['a short signature', headerFor(PRIVATE, 'abc')],
  ['names that are not sorted', headerFor(PRIVATE, PRIVATE.signature, 'x-amz-date;host')],
  ['a name in upper case', headerFor(PRIVATE, PRIVATE.signature, 'Host;x-amz-date')],
  ['a name twice', headerFor(PRIVATE, PRIVATE.signature, 'host;host')],
])('%s is no signature', ([, header]) => {
  expect(readAuthorization(header!)).toBeUndefined();
});

test('the date-time is read and written without separators', () => {
  expect(readDateTime(DATE_TIME)).toBe(Date.parse('2026-01-02T03:04:05Z'));
  expect(writeDateTime(Date.parse('2026-01-02T03:04:05.678Z'))).toBe(DATE_TIME);
  expect(readDateTime('2026-01-02T03:04:05Z')).toBeUndefined();
  expect(readDateTime('20261302T030405Z')).toBeUndefined();
});
