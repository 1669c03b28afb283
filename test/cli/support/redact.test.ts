// What a support bundle must not carry, in the shapes in which it turns up; and what it must.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { redactObject, redactText } from '../../../src/cli/support/redact.ts';

const PASSWORD = 'correct-horse-battery';
const JWT = `eyJhbGciOiJSUzI1NiJ9.${Buffer.from('{"sub":"system:serviceaccount:shop:web"}').toString('base64url')}.c2lnbmF0dXJl`;
const AUTH = Buffer.from(`shop/web:${PASSWORD}`).toString('base64');
const DOCKER_CONFIG = Buffer.from(JSON.stringify({ auths: { 'r.example': { auth: AUTH } } })).toString(
  'base64',
);
const KEY = '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIOi2m\n-----END EC PRIVATE KEY-----';

describe('a text', () => {
  test.each([
    ['a JWT', `refused ${JWT} at the door`, JWT.slice(0, 30)],
    ['a JWT that was cut off', `token=${JWT.slice(0, 40)}`, JWT.slice(3, 20)],
    ['a header', `authorization: Bearer abcdef0123456789`, 'abcdef0123456789'],
    ['a basic login', `Authorization: Basic ${AUTH}`, AUTH],
    ['a login in base64, in the open', `sent ${AUTH} to the realm`, AUTH],
    ['a docker config in base64', `.dockerconfigjson ${DOCKER_CONFIG}`, DOCKER_CONFIG],
    ['a URL with a login', `https://user:${PASSWORD}@proxy.example:3128/`, PASSWORD],
    ['JSON in a line', `{"level":"info","password":"${PASSWORD}"}`, PASSWORD],
    ['logfmt', `user=web password=${PASSWORD} ok`, PASSWORD],
    ['JSON in JSON', JSON.stringify({ message: `{"password":"${PASSWORD}"}` }), PASSWORD],
    ['a private key', `here: ${KEY} end`, 'MHcCAQEEIOi2m'],
    ['a personal access token', 'ghp_abcdefghijklmnop1234', 'ghp_abcdefghij'],
    ['a cloud access key', 'AKIAIOSFODNN7EXAMPLE used', 'AKIAIOSFODNN7EXAMPLE'],
  ])('%s is taken out', (_, text, secret) => {
    expect(redactText(text)).not.toContain(secret);
  });

  test.each([
    'PullCredential shop/keyless-pull-web-team-registr-h5225hvwghuirxww is ready until 2026-11-21T11:00:00Z',
    '{"level":"info","time":"2026-11-21T11:00:00.000Z","message":"leading","identity":"keyless-pull-7d4b9c-x2x5p"}',
    'keyless_pull_exchanges_total{rule="team",outcome="issued"} 12',
    'arn:aws:iam::111122223333:role/pull-shop at sts.eu-central-1.amazonaws.com',
    'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
    "object.metadata.?labels[?'keyless-pull.dev/managed'].orValue('') == 'true'",
  ])('what helps stays: %s', (text) => {
    expect(redactText(text)).toBe(text);
  });

  test('a login in base64 never comes through, whatever it is', () => {
    const word = fc.stringMatching(/^[a-zA-Z0-9/_-]{3,20}$/);
    fc.assert(
      fc.property(word, fc.stringMatching(/^[!-~]{8,40}$/), (user, password) => {
        const login = Buffer.from(`${user}:${password}`).toString('base64');
        expect(redactText(`before ${login} after`)).not.toContain(login);
      }),
    );
  });
});

describe('an object', () => {
  test('loses fields that are secrets by their name, and what tools have noted down', () => {
    const object = {
      metadata: {
        name: 'x',
        managedFields: [{ manager: 'kubectl' }],
        annotations: {
          'kubectl.kubernetes.io/last-applied-configuration': '{"data":1}',
          'team.example/note': JWT,
        },
      },
      auth: 'x',
      spec: {
        containers: [
          {
            env: [
              { name: 'REGISTRY_PASSWORD', value: 'p' },
              { name: 'LEVEL', value: 'info' },
            ],
          },
        ],
      },
      status: { tokenID: 'b1f3', tokenKeyID: 'kid-1' },
    };

    expect(redactObject(object)).toEqual({
      metadata: { name: 'x', annotations: { 'team.example/note': '[redacted]' } },
      auth: '[redacted]',
      spec: {
        containers: [
          {
            env: [
              { name: 'REGISTRY_PASSWORD', value: '[redacted]' },
              { name: 'LEVEL', value: 'info' },
            ],
          },
        ],
      },
      status: { tokenID: 'b1f3', tokenKeyID: 'kid-1' },
    });
  });

  test('keeps an authority in a caBundle: it is public, and doctor compares it', () => {
    const caBundle = Buffer.from(
      `-----BEGIN CERTIFICATE-----\n${'QUJD'.repeat(20)}\n-----END CERTIFICATE-----\n`,
    ).toString('base64');

    expect(redactObject({ clientConfig: { caBundle } })).toEqual({ clientConfig: { caBundle } });
  });
});
