// Which tokens a pod has in its volumes, and which of them its containers see.
import { describe, expect, test } from 'vitest';
import { mountedTokens, tokenSources } from '../../src/core/token-volume.ts';
import { aPod, aRule, anAccount } from './builders.ts';
import type { LeftOut } from '../../src/core/pull-plan.ts';
import type { RegistryRule } from '../../src/core/registry-rule.ts';

const ASKS = ['c0'];
const pod = aPod(['a', 'b'], { initContainers: [{ name: 'init', image: 'i' }] });
const EVERYWHERE = ['init', 'c0', 'c1'];
const wary = aPod(['a', 'b'], { automountServiceAccountToken: false });

function withAudience(rules: readonly RegistryRule[]): [RegistryRule, string][] {
  return rules.map((rule) => [rule, rule.audience]);
}

function named(name: string, inject: string, inPod: readonly string[], more = {}): RegistryRule {
  return aRule({ name, hosts: [`${name}.example`], token: { inject }, inPod, ...more });
}

function mounted(
  rules: readonly RegistryRule[],
  asked?: readonly string[],
  { ofPod = pod, account = anAccount() } = {},
) {
  const leftOut: LeftOut[] = [];
  const tokens = mountedTokens(ofPod, account, rules, asked, leftOut);
  return {
    tokens,
    sources: tokenSources(withAudience(rules), tokens).map(({ rule }) => rule),
    told: leftOut.map(({ message }) => message.replace('annotation keyless-pull.dev/mount: ', '')),
    reasons: leftOut.map(({ reason }) => reason),
  };
}

describe('of one rule', () => {
  test.for([
    ['auto, token', 'auto', ['token'], undefined, undefined, [], []],
    ['auto, token, asked', 'auto', ['token'], ASKS, ASKS, ['team'], []],
    ['auto, asked', 'auto', [], ASKS, undefined, [], ['not-in-pod']],
    ['auto, docker-config, asked', 'auto', ['docker-config'], ASKS, undefined, [], ['not-in-pod']],
    ['volume, token', 'volume', ['token'], undefined, undefined, ['team'], []],
    ['volume, token, asked', 'volume', ['token'], ASKS, ASKS, ['team'], []],
    ['volume, asked', 'volume', [], ASKS, undefined, ['team'], ['not-in-pod']],
    ['none, token', 'none', ['token'], undefined, undefined, [], []],
    ['none, token, asked', 'none', ['token'], ASKS, undefined, [], ['not-in-pod']],
    ['mount', 'mount', [], undefined, EVERYWHERE, ['team'], []],
    ['mount, asked', 'mount', [], ASKS, EVERYWHERE, ['team'], []],
  ] as const)('%s', ([, inject, inPod, asked, containers, sources, reasons]) => {
    const found = mounted([named('team', inject, inPod)], asked);

    expect(found.tokens).toEqual(containers && { rules: ['team'], containers });
    expect(found.sources).toEqual(sources);
    expect(found.reasons).toEqual(reasons);
  });

  test('what is not given is told with the word of the config that decides it', () => {
    expect(mounted([named('team', 'none', ['token'])], ASKS).told).toEqual([
      'rule team puts no token into pods (token.inject: none)',
    ]);
    expect(mounted([named('team', 'auto', [])], ASKS).told).toEqual([
      'rule team lets no pod have its token (inPod does not list token)',
    ]);
    expect(mounted([], ASKS)).toMatchObject({
      tokens: undefined,
      told: ['this pod pulls from no registry that a rule covers: there is no token to mount'],
    });
  });
});

describe('of several rules', () => {
  test('those are seen that let pods have their tokens, and the others keep theirs in a volume', () => {
    const rules = [named('node', 'volume', []), named('team', 'auto', ['token'])];

    expect(mounted(rules, ASKS)).toMatchObject({
      tokens: { rules: ['team'], containers: ASKS },
      sources: ['node', 'team'],
      reasons: ['not-in-pod'],
    });
  });

  test('one that is mounted unasked is everywhere, and with it what else was asked for', () => {
    const rules = [named('team', 'auto', ['token']), named('mesh', 'mount', [])];

    expect(mounted(rules, ASKS).tokens).toEqual({ rules: ['team', 'mesh'], containers: EVERYWHERE });
    expect(mounted(rules).tokens).toEqual({ rules: ['mesh'], containers: EVERYWHERE });
  });
});

describe('where automountServiceAccountToken is false', () => {
  const rules = [named('mesh', 'mount', [])];

  test('nothing is mounted unasked, and that is told', () => {
    expect(mounted(rules, undefined, { ofPod: wary })).toEqual({
      tokens: undefined,
      sources: ['mesh'],
      told: [
        'automountServiceAccountToken is false, so the token of rule mesh is mounted only where this annotation asks',
      ],
      reasons: ['token-declined'],
    });
  });

  test('what is asked for is mounted there, and nowhere else', () => {
    expect(mounted(rules, ASKS, { ofPod: wary })).toMatchObject({
      tokens: { rules: ['mesh'], containers: ASKS },
      reasons: [],
    });
  });

  test("the pod's own word goes before its account's", () => {
    const account = anAccount({ automountServiceAccountToken: false });
    const willing = aPod(['a'], { automountServiceAccountToken: true });

    expect(mounted(rules, undefined, { account }).reasons).toEqual(['token-declined']);
    expect(mounted(rules, undefined, { account, ofPod: willing }).tokens?.containers).toEqual(['c0']);
  });
});

test('a pod without containers to mount into gets no mount', () => {
  expect(mounted([named('mesh', 'mount', [])], undefined, { ofPod: aPod([]) }).tokens).toBeUndefined();
});

test('a source has the audience of its rule and the life that it wishes, or an hour', () => {
  const rules = [
    named('one', 'volume', []),
    named('two', 'volume', [], { audience: 'two', token: { inject: 'volume', expirationSeconds: 600 } }),
  ];

  expect(tokenSources(withAudience(rules), undefined)).toEqual([
    { rule: 'one', audience: 'https://registry.team.example', expirationSeconds: 3600 },
    { rule: 'two', audience: 'two', expirationSeconds: 600 },
  ]);
});
