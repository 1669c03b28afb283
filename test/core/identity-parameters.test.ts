// Whom an account becomes: from the rule, from its own annotations, and from those of other tools.
import { describe, expect, test } from 'vitest';
import { principalsOf, type Principals } from '../../src/core/identity-parameters.ts';
import { registryRule } from '../../src/core/registry-rule.ts';
import { aRule } from './builders.ts';
import type { FamilyFacts } from '../../src/core/registry-family.ts';

const HOST = 'quay.team.example';
const ROBOT = { from: 'annotation', accept: ['quay.io/federated-robot-account'] };

const quayRule = (robot: object = ROBOT, change = {}) =>
  aRule({ name: 'team', hosts: [HOST], exchange: { kind: 'quay' }, parameters: { robot }, ...change });

function readFor(annotations: Record<string, string>, rule = quayRule(), host = HOST): Principals {
  return principalsOf(rule, { name: 'checkout', annotations }, host);
}
const namesFor = (...wish: Parameters<typeof readFor>) => readFor(...wish).principals.map(({ name }) => name);

describe('a parameter comes from', () => {
  test("the account's annotation, which every rule that knows it reads", () => {
    const { principals, faults, isAnnotated } = readFor({ 'keyless-pull.dev/robot': 'shop+puller' });

    expect(principals).toEqual([
      {
        name: 'shop+puller',
        parameters: { robot: 'shop+puller' },
        audience: 'https://registry.team.example',
        digest: expect.stringMatching(/^[0-9a-f]{32}$/),
      },
    ]);
    expect(faults).toEqual([]);
    expect(isAnnotated).toBe(true);
  });

  test('the annotation for this rule alone, which wins', () => {
    const annotations = {
      'keyless-pull.dev/robot': 'shop+all',
      'team.keyless-pull.dev/robot': 'shop+team',
      'other.keyless-pull.dev/robot': 'shop+other',
      'quay.io/federated-robot-account': 'shop+foreign',
    };

    expect(namesFor(annotations)).toEqual(['shop+team']);
  });

  test("another tool's annotation where the rule accepts it, after ours", () => {
    const foreign = { 'quay.io/federated-robot-account': 'shop+foreign' };

    expect(namesFor(foreign)).toEqual(['shop+foreign']);
    expect(namesFor({ ...foreign, 'keyless-pull.dev/robot': 'shop+ours' })).toEqual(['shop+ours']);
  });

  test("the rule's default where no annotation says it", () => {
    const { principals, isAnnotated } = readFor({}, quayRule({ from: 'annotation', value: 'shop+default' }));

    expect(principals.map(({ name }) => name)).toEqual(['shop+default']);
    expect(isAnnotated).toBe(false);
  });

  test('the rule alone where it says so, whatever is annotated', () => {
    const annotations = {
      'keyless-pull.dev/robot': 'evil+robot',
      'team.keyless-pull.dev/robot': 'evil+robot',
    };

    expect(namesFor(annotations, quayRule({ from: 'rule', value: 'shop+fixed' }))).toEqual(['shop+fixed']);
    expect(readFor(annotations, quayRule({ from: 'rule', value: 'shop+fixed' })).isAnnotated).toBe(false);
  });

  test('the rule alone where it is part of a destination, whatever the rule accepts', () => {
    const domain = { means: '', pattern: /^[a-z.]+$/, looksLike: 'a domain', isRulesAlone: true };
    const family: FamilyFacts = {
      parameters: { domain },
      endpoints: ['sts'],
      receiver: 'ours',
      tokenSeconds: 600,
    };
    const rule = registryRule({ ours: family }).parse({
      name: 'team',
      hosts: [HOST],
      audience: 'ours',
      exchange: { kind: 'ours' },
      parameters: { domain: { from: 'annotation', value: 'cloud.example', accept: ['other.example/*'] } },
    });
    const annotations = { 'keyless-pull.dev/domain': 'evil.example', 'other.example/domain': 'evil.example' };

    expect(readFor(annotations, rule).principals[0]?.parameters).toEqual({ domain: 'cloud.example' });
  });

  test('the next source where an annotation is empty', () => {
    const annotations = { 'team.keyless-pull.dev/robot': ' ', 'keyless-pull.dev/robot': 'shop+puller' };

    expect(namesFor(annotations)).toEqual(['shop+puller']);
  });

  test('nowhere if the rule does not speak of it: optional ones are then left out', () => {
    const rule = aRule({
      hosts: ['sts.example'],
      exchange: { kind: 'token-exchange', endpoint: 'https://sts.example/token' },
    });

    expect(readFor({ 'keyless-pull.dev/scope': 'everything' }, rule, 'sts.example')).toMatchObject({
      principals: [{ name: '', parameters: {} }],
      faults: [],
      isAnnotated: false,
    });
  });

  test('somewhere, if it is required: else the account is told which annotation it lacks', () => {
    expect(readFor({})).toEqual({
      principals: [],
      faults: ['ServiceAccount checkout has no annotation keyless-pull.dev/robot, which rule team needs'],
      isAnnotated: false,
      wants: { annotation: 'keyless-pull.dev/robot', looksLike: 'organization+name' },
    });
  });
});

describe('what is known of an account under a rule', () => {
  test('is the same object for the same account, rule and host', () => {
    const rule = quayRule();
    const account = { name: 'checkout', annotations: { 'keyless-pull.dev/robot': 'shop+puller' } };

    const first = principalsOf(rule, account, HOST);

    expect(principalsOf(rule, account, HOST)).toBe(first);
    expect(principalsOf(rule, account, 'other.example')).not.toBe(first);
    expect(principalsOf(quayRule(), account, HOST)).not.toBe(first);
    expect(principalsOf(rule, { ...account }, HOST)).not.toBe(first);
    expect(principalsOf(rule, { ...account }, HOST)).toEqual(first);
  });

  test('is bounded: tenants can invent hosts without end', () => {
    const rule = quayRule();
    const account = { name: 'checkout', annotations: { 'keyless-pull.dev/robot': 'shop+puller' } };
    const first = principalsOf(rule, account, HOST);

    for (let at = 0; at < 255; at++) principalsOf(rule, account, `host-${at}.example`);
    expect(principalsOf(rule, account, HOST)).toBe(first);
    principalsOf(rule, account, 'one-more.example');

    expect(principalsOf(rule, account, HOST)).not.toBe(first);
    expect(principalsOf(rule, account, HOST)).toEqual(first);
  });
});

describe('a digest', () => {
  const digestFor = (...wish: Parameters<typeof readFor>) => readFor(...wish).principals[0]?.digest;
  const annotations = { 'keyless-pull.dev/robot': 'shop+puller' };

  test('depends on the parameters, wherever they come from', () => {
    const fixed = quayRule({ from: 'rule', value: 'shop+puller' });

    expect(digestFor(annotations)).toBe(digestFor({}, fixed));
    expect(digestFor(annotations)).not.toBe(digestFor({ 'keyless-pull.dev/robot': 'shop+other' }));
  });

  test('depends on audience and exchange, and not on the name of the rule or its hosts', () => {
    const own = digestFor(annotations);

    expect(digestFor(annotations, quayRule(ROBOT, { audience: 'other' }))).not.toBe(own);
    expect(
      digestFor(annotations, quayRule(ROBOT, { exchange: { kind: 'quay', endpoint: 'https://q.example' } })),
    ).not.toBe(own);
    expect(digestFor(annotations, quayRule(ROBOT, { name: 'renamed', hosts: [HOST, 'b.example'] }))).toBe(
      own,
    );
  });
});
