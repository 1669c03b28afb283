// The sentences of the policy, word for word: what it is, who set it, what to do.
import { describe, expect, test } from 'vitest';
import { isPlatformMade, listOf } from '../../src/core/finding-text.ts';
import { Policy, findingsOf, type PolicyQuestion } from '../../src/core/pull-policy.ts';
import { aPod, aRule, anAccount, planOf, type Raw } from './builders.ts';

const named = (names: readonly string[]) => ({ imagePullSecrets: names.map((name) => ({ name })) });

function found(
  inPod: string[],
  inAccount: string[],
  change: Partial<PolicyQuestion> = {},
  metadata: Raw = {},
) {
  const pod = aPod(['registry.team.example/app'], named(inPod), metadata);
  const account = anAccount(named(inAccount));
  const question = { pod, account, plan: planOf(pod, {}, account), recorded: new Set<string>() };
  return findingsOf({ ...question, namespaceOptedIn: true, policy: Policy.parse({}), now: 0, ...change })[0];
}

describe('what it is and who set it', () => {
  const OTHERS = 'keyless-pull-other-team-aaaaaaaaaaaaaaaa';
  test.for<[what: string, finding: ReturnType<typeof found>, text: string]>([
    [
      'written in the pod',
      found(['nexus'], []),
      '"nexus" in spec.imagePullSecrets is a static pull secret, written in the pod: remove that line',
    ],
    [
      'written in a template',
      found(['nexus'], [], { writtenIn: 'the template of Deployment web' }),
      '"nexus" in spec.imagePullSecrets is a static pull secret, written in the template of Deployment web: remove that line there',
    ],
    [
      'inherited',
      found(['nexus'], ['nexus'], { writtenIn: 'the template of Deployment web' }),
      `"nexus" is a static pull secret, inherited from ServiceAccount checkout: remove it from the account's imagePullSecrets`,
    ],
    [
      'made by the platform',
      found(['checkout-dockercfg-x7k2p'], ['checkout-dockercfg-x7k2p']),
      `"checkout-dockercfg-x7k2p" is a static pull secret, inherited from ServiceAccount checkout, where the platform would put it again: ask the cluster's administrators for an exemption of "checkout-dockercfg-*"`,
    ],
    [
      "another account's credential",
      found([OTHERS], []),
      `"${OTHERS}" in spec.imagePullSecrets is no credential of ServiceAccount checkout, whatever its name says, written in the pod: remove that line`,
    ],
  ])('%s', ([, finding, text]) => {
    expect(finding?.what).toBe(text);
  });

  test('a name in quotes is JSON: nothing in it can end the sentence or steer a terminal', () => {
    expect(found(['a"; rm\u001b[2J'], [])?.what).toContain(String.raw`"a\"; rm\u001b[2J" in`);
  });
});

describe('what to do instead', () => {
  test('names every step: the namespace, the pod, and what it has then', () => {
    const labels = { 'keyless-pull.dev/inject': 'disabled' };
    const plan = planOf(aPod(['registry.team.example/app']));

    expect(found(['nexus'], [], { namespaceOptedIn: false, plan }, { labels })?.cure).toBe(
      'label the namespace keyless-pull.dev/inject=enabled, remove the label keyless-pull.dev/inject=disabled from the pod and keyless-pull gives this pod its own credential for registry.team.example',
    );
  });

  test('has the command that adds the annotation which the account lacks', () => {
    const rule = aRule({
      hosts: ['quay.io'],
      exchange: { kind: 'quay' },
      parameters: { robot: { from: 'annotation' } },
    });
    const plan = planOf(aPod(['quay.io/team/app']), { rules: [rule] });

    expect(found(['nexus'], [], { plan })?.cure).toBe(
      'ServiceAccount checkout has no annotation keyless-pull.dev/robot, which rule team needs: kubectl annotate serviceaccount -n shop checkout keyless-pull.dev/robot=… (organization+name)',
    );
  });
});

test('a list names five and counts the rest', () => {
  expect(listOf(['a', 'b'])).toBe('a, b');
  expect(listOf(['a', 'b', 'c', 'd', 'e', 'f', 'g'])).toBe('a, b, c, d, e and 2 more');
});

test.for([
  ['default-dockercfg-x7k2p', true],
  ['dockercfg', false],
  ['my-dockercfg-secret', false],
] as const)('OpenShift made %s: %s', ([secret, expected]) => {
  expect(isPlatformMade(secret)).toBe(expected);
});
