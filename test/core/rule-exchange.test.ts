// How a rule says which exchange is made, and where its parameters come from.
import { describe, expect, test } from 'vitest';
import type * as z from 'zod';
import { exchangeSchema, Parameter } from '../../src/core/rule-exchange.ts';
import { faultSentence } from '../../src/fault-sentence.ts';

const Exchange = exchangeSchema(['pass-through', 'ecr']);

function faultsOf(schema: z.ZodType, value: unknown): string[] {
  const { error } = schema.safeParse(value, { error: faultSentence });
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`);
}

const exchangeFaults = (change: Record<string, unknown>) => faultsOf(Exchange, { kind: 'ecr', ...change });

describe('an exchange', () => {
  test('has a kind, and everything else is optional', () => {
    expect(Exchange.parse({ kind: 'ecr' })).toEqual({ kind: 'ecr' });
  });

  test('may replace the endpoints, say who verifies them, and name the user', () => {
    const whole = {
      kind: 'ecr',
      endpoint: 'https://gateway.example:8443/aws',
      endpoints: { sts: 'https://sts.example' },
      certificateAuthorityFile: '/etc/ca/bundle.pem',
      username: 'team-a/builder',
    };

    expect(Exchange.parse(whole)).toEqual(whole);
  });

  test.for([
    ['magic', 'kind: must be one of pass-through, ecr'],
    ['', 'kind: must be one of pass-through, ecr'],
    [undefined, 'kind: is required'],
    [5, 'kind: must be one of pass-through, ecr'],
    ['ECR', 'kind: must be one of pass-through, ecr'],
    // Words that every object of JavaScript knows.
    ['constructor', 'kind: must be one of pass-through, ecr'],
    ['__proto__', 'kind: must be one of pass-through, ecr'],
    ['toString', 'kind: must be one of pass-through, ecr'],
  ] as const)('of the kind %j is refused: %s', ([kind, fault]) => {
    expect(exchangeFaults({ kind })).toEqual([fault]);
  });

  test.for([
    ['ghcr', 'kind: ghcr.io takes personal access tokens'],
    ['dockerhub', 'kind: Docker Hub takes OIDC tokens of GitHub alone'],
    ['harbor', 'kind: upstream Harbor takes robot secrets only'],
    ['nexus', 'kind: Nexus signs in browsers only'],
  ] as const)('of the kind %s is told why it cannot be', ([kind, fault]) => {
    const faults = exchangeFaults({ kind });

    expect(faults.length).toBe(1);
    expect(faults[0]?.startsWith(fault)).toBe(true);
  });

  test.for(['https://sts.example/v1/@scope', 'https://sts.example/token?tenant=a', 'https://[fd00::1]:8443'])(
    'takes %j for an endpoint',
    (endpoint) => {
      expect(exchangeFaults({ endpoint })).toEqual([]);
    },
  );

  test.for([
    'http://sts.example',
    'ftp://sts.example',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'sts.example',
    '//sts.example',
    'https://',
    '',
    // A password would be a stored secret, and what follows "#" is never sent.
    'https://user:hunter2@sts.example',
    'https://user@sts.example',
    'https://:hunter2@sts.example',
    'https://sts.example/#token',
  ])('does not take %j for an endpoint', (url) => {
    expect(exchangeFaults({ endpoint: url })).toEqual([
      'endpoint: an endpoint is an https URL, without user, password and "#"',
    ]);
    expect(exchangeFaults({ endpoints: { sts: url } })).toEqual([
      'endpoints.sts: an endpoint is an https URL, without user, password and "#"',
    ]);
  });

  test.for(['a:b', 'a b', 'a\n', 'a\0b', '', 'x'.repeat(256), '\u0085'])(
    'does not tell the registry %j as user',
    (username) => {
      expect(exchangeFaults({ username })).toEqual([
        'username: a username has no colon, no space and no control character',
      ]);
    },
  );

  test('knows no other key', () => {
    expect(faultsOf(Exchange, { kind: 'ecr', password: 'x' }).length).toBe(1);
  });
});

describe('a parameter', () => {
  test.for([
    { from: 'annotation' },
    { from: 'annotation', value: 'a default' },
    { from: 'annotation', accept: ['eks.amazonaws.com/role-arn', 'imagepullsecrets.preferred.jp/*'] },
    { from: 'rule', value: 'fixed' },
  ] as const)('may be %j', (wish) => {
    expect(Parameter.parse(wish)).toEqual(wish);
  });

  test.for([
    [{ from: 'rule' }, ': from: rule needs a value'],
    [{ from: 'rule', value: 'x', accept: ['a.example/b'] }, ': accept goes with from: annotation'],
    [{ from: 'pod' }, 'from: must be one of annotation, rule'],
    [{}, 'from: is required'],
    [{ from: 'rule', value: 5 }, 'value: must be text (put it in quotes), not a number'],
  ] as const)('may not be %j: %s', ([wish, fault]) => {
    expect(faultsOf(Parameter, wish)).toEqual([fault]);
  });

  test.for([
    'role-arn',
    '*',
    '/role',
    'a.example/',
    'A.example/x',
    'a.example/x/y',
    'a.example/*x',
    '*/x',
    'a b/x',
    'a.example/x\n',
  ])('does not accept %j for an annotation', (name) => {
    expect(faultsOf(Parameter, { from: 'annotation', accept: [name] })).toEqual([
      'accept.0: write an annotation with its prefix, or prefix/* for all of one',
    ]);
  });
});
