// What a step sends: encoded as the protocol wants it, and still a secret.
import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { encodeRequest, type EncodedRequest } from '../../src/registry/request-body.ts';
import { SecretText } from '../../src/secret-text.ts';

const marked = new SecretText('marked secret/+=&"ü');

/** As http-call.ts writes it, once nothing of it was seen before. */
function revealed({ method, headers, body }: EncodedRequest) {
  expect(inspect({ headers, body }, { depth: null, showHidden: true })).not.toContain('marked');
  expect(JSON.stringify({ headers, body })).not.toContain('marked');
  const text = (value: string | SecretText | undefined) =>
    value instanceof SecretText ? value.reveal() : value;
  return {
    method,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, text(value)])),
    body: text(body),
  };
}

test('a form is encoded, and leaves out what is not there', () => {
  const sent = revealed(encodeRequest({ form: { token: marked, 'a b': 'c&d', none: undefined, empty: '' } }));

  expect(sent).toMatchObject({
    method: 'POST',
    headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
  });
  expect(sent.body).toBe('token=marked+secret%2F%2B%3D%26%22%C3%BC&a+b=c%26d&empty=');
});

test('JSON has its secrets where they stand, however deep', () => {
  const sent = revealed(encodeRequest({ json: { auth: { id_token: [marked, 'plain'] }, more: null } }));

  expect(sent.headers['content-type']).toBe('application/json');
  expect(JSON.parse(sent.body ?? '')).toEqual({
    auth: { id_token: ['marked secret/+=&"ü', 'plain'] },
    more: null,
  });
});

test('a bearer and a Basic login go into the Authorization header', () => {
  const bearer = revealed(encodeRequest({ bearer: new SecretText('marked') }));
  const basic = revealed(encodeRequest({ basic: { username: 'organisation+robot', password: marked } }));

  expect(bearer).toMatchObject({ method: 'GET', headers: { authorization: 'Bearer marked' }, body: '' });
  const [, encoded = ''] = /^Basic (\S+)$/.exec(basic.headers['authorization'] ?? '') ?? [];
  expect(Buffer.from(encoded, 'base64').toString()).toBe('organisation+robot:marked secret/+=&"ü');
});

test('a step that sends nothing is a GET, unless it says otherwise; headers of the step go before ours', () => {
  expect(revealed(encodeRequest({})).method).toBe('GET');
  expect(revealed(encodeRequest({ method: 'POST' }))).toMatchObject({ method: 'POST', body: '' });
  expect(revealed(encodeRequest({ body: '' })).method).toBe('POST');
  const own = revealed(encodeRequest({ body: '{}', headers: { accept: undefined, 'content-type': 'x/y' } }));
  expect(own).toMatchObject({ method: 'POST', body: '{}', headers: { 'content-type': 'x/y' } });
  expect(own.headers['accept']).toBeUndefined();
});
