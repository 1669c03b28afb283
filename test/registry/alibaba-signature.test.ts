// Alibaba Cloud's request signature, against the example that Alibaba has published, and in what the example leaves out.
import { describe, expect, test } from 'vitest';
import { instant, signAcs3, type Acs3Wish } from '../../src/registry/alibaba-signature.ts';
import { SecretText } from '../../src/secret-text.ts';
import { acs3Signature } from '../fakes/alibaba-double.ts';

const EMPTY_HASH = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const SECRET = 'YourAccessKeySecret';

/** https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature */
const example: Acs3Wish = {
  url: new URL(
    'https://ecs.cn-shanghai.aliyuncs.com/?ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai',
  ),
  action: 'RunInstances',
  version: '2014-05-26',
  keys: { AccessKeyId: 'YourAccessKeyId', AccessKeySecret: new SecretText(SECRET) },
  at: Date.parse('2023-10-26T10:22:32Z'),
  nonce: '3156853299f313e23d1673dc12e1703d',
};

describe('a signature', () => {
  test("is that of Alibaba's example", () => {
    expect(signAcs3(example)).toEqual({
      'x-acs-action': 'RunInstances',
      'x-acs-content-sha256': EMPTY_HASH,
      'x-acs-date': '2023-10-26T10:22:32Z',
      'x-acs-signature-nonce': '3156853299f313e23d1673dc12e1703d',
      'x-acs-version': '2014-05-26',
      authorization:
        'ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0',
    });
  });

  test('does not depend on the order of the query', () => {
    const url = new URL(example.url);
    url.search = new URLSearchParams([...example.url.searchParams].toReversed()).toString();

    expect(signAcs3({ ...example, url })).toEqual(signAcs3(example));
  });

  test('covers the session, where there is one', () => {
    const keys = { ...example.keys, SecurityToken: new SecretText('CAIS+/session==') };

    const headers = signAcs3({ ...example, keys });

    expect(headers['x-acs-security-token']).toBe('CAIS+/session==');
    expect(headers['authorization']).toContain(
      'x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version,',
    );
  });

  test.for([
    ['another action', { action: 'StopInstances' }],
    ['another version', { version: '2014-05-27' }],
    ['another moment', { at: example.at + 1000 }],
    ['another nonce', { nonce: 'x' }],
    ['another host', { url: new URL(example.url.href.replace('shanghai.', 'hangzhou.')) }],
    ['another path', { url: new URL(example.url.href.replace('/?', '/x?')) }],
    ['another query', { url: new URL(`${example.url.href}&x=`) }],
    ['another secret', { keys: { ...example.keys, AccessKeySecret: new SecretText('x') } }],
  ] as [string, Partial<Acs3Wish>][])('is another one for %s', ([, change]) => {
    const signatureOf = (wish: Acs3Wish) => signAcs3(wish)['authorization']?.split('Signature=')[1];

    expect(signatureOf({ ...example, ...change })).not.toBe(signatureOf(example));
  });

  test.for(["it's", 'a b', 'a+b', 'a*b', '(a)', 'a!b', 'a~b', 'a/b', 'ä', '%2e', 'a&b=c', ''])(
    'encodes %j in the query as the registry reads it',
    (value) => {
      const url = new URL('https://cr.cn-hangzhou.aliyuncs.com:8443/');
      url.searchParams.set('InstanceId', value);

      const { authorization, ...headers } = signAcs3({ ...example, url });

      const request = {
        method: 'POST',
        path: '/',
        query: [...url.searchParams],
        headers: { host: url.host, ...headers },
        body: '',
      };
      expect(authorization?.split('Signature=')[1]).toBe(acs3Signature(request, SECRET));
    },
  );
});

test('an instant has whole seconds', () => {
  expect(instant(Date.parse('2026-11-21T12:00:00.999Z'))).toBe('2026-11-21T12:00:00Z');
});
