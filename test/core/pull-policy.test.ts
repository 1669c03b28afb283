// Which pull secrets are static, who set them, what lets them pass, and the cure in the sentence.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exemptionDaysLeft, findingsOf, Policy, staticPullSecretsMode } from '../../src/core/pull-policy.ts';
import { aPod, aRule, anAccount, planOf, type Raw } from './builders.ts';
import type { Finding, PolicyQuestion } from '../../src/core/pull-policy.ts';

const TEAM = 'registry.team.example';
const NOW = Date.parse('2026-11-21T12:00:00Z');
const DAY_MS = 86_400_000;

interface Setting {
  readonly inPod?: readonly string[];
  readonly inAccount?: readonly string[];
  readonly images?: readonly string[];
  readonly policy?: Raw;
  readonly change?: Partial<PolicyQuestion>;
}

function question({
  inPod = [],
  inAccount = [],
  images = [`${TEAM}/app`],
  policy = {},
  change = {},
}: Setting): PolicyQuestion {
  const named = (names: readonly string[]) => ({ imagePullSecrets: names.map((name) => ({ name })) });
  const pod = aPod(images, named(inPod));
  const account = anAccount(named(inAccount));
  return {
    pod,
    account,
    plan: planOf(pod, {}, account),
    recorded: new Set(),
    namespaceOptedIn: true,
    policy: Policy.parse(policy),
    now: NOW,
    ...change,
  };
}

const secretsOf = (findings: readonly Finding[]) => findings.map(({ secret, origin }) => [secret, origin]);
const OURS = question({}).plan.needs[0]?.need.secretName ?? '';

describe('a pull secret of a pod', () => {
  test.for<[what: string, setting: Setting, findings: [string, string][]]>([
    ['none', {}, []],
    ['ours, by name', { inPod: [OURS] }, []],
    [
      'ours, by a record of this account',
      { inPod: ['keyless-pull-older'], change: { recorded: new Set(['keyless-pull-older']) } },
      [],
    ],
    [
      'a managed name of another account',
      { inPod: ['keyless-pull-other-team-aaaaaaaaaaaaaaaa'] },
      [['keyless-pull-other-team-aaaaaaaaaaaaaaaa', 'explicit']],
    ],
    ['written in the pod', { inPod: ['static'] }, [['static', 'explicit']]],
    ['written in the pod, beside ours', { inPod: ['static', OURS] }, [['static', 'explicit']]],
    ['brought by the account', { inPod: ['static'], inAccount: ['static'] }, [['static', 'inherited']]],
    [
      'brought by the account, ours behind it',
      { inPod: ['static', OURS], inAccount: ['static'] },
      [['static', 'inherited']],
    ],
    [
      'two brought by the account',
      { inPod: ['a', 'b'], inAccount: ['a', 'b'] },
      [
        ['a', 'inherited'],
        ['b', 'inherited'],
      ],
    ],
    [
      'brought, and one more by a webhook',
      { inPod: ['a', 'b'], inAccount: ['a'] },
      [
        ['a', 'inherited'],
        ['b', 'explicit'],
      ],
    ],
    ['written, the account has another', { inPod: ['a'], inAccount: ['b'] }, [['a', 'explicit']]],
    [
      'written in another order than the account has',
      { inPod: ['b', 'a'], inAccount: ['a', 'b'] },
      [
        ['b', 'explicit'],
        ['a', 'explicit'],
      ],
    ],
    [
      'written, one of those that the account has',
      { inPod: ['a'], inAccount: ['a', 'b'] },
      [['a', 'explicit']],
    ],
    ['the same one twice', { inPod: ['a', 'a'] }, [['a', 'explicit']]],
    ['brought and written again', { inPod: ['a', 'a'], inAccount: ['a'] }, [['a', 'inherited']]],
    [
      'brought, where that is allowed',
      { inPod: ['a'], inAccount: ['a'], policy: { inherited: 'allowed' } },
      [],
    ],
    [
      'written, where only brought is allowed',
      { inPod: ['a'], policy: { inherited: 'allowed' } },
      [['a', 'explicit']],
    ],
    [
      'brought and another written, where only brought is allowed',
      { inPod: ['a', 'b'], inAccount: ['a'], policy: { inherited: 'allowed' } },
      [['b', 'explicit']],
    ],
    ['ours, listed by the account too', { inPod: [OURS, 'a'], inAccount: [OURS] }, [['a', 'explicit']]],
  ])('%s', ([, setting, findings]) => {
    expect(secretsOf(findingsOf(question(setting)))).toEqual(findings);
  });

  test('of our own name that a record calls foreign is static: somebody else made that Secret', () => {
    const findings = findingsOf(question({ inPod: [OURS], change: { foreign: new Set([OURS]) } }));

    expect(secretsOf(findings)).toEqual([[OURS, 'explicit']]);
    expect(findings[0]?.what).toBe(
      `"${OURS}" is a Secret that keyless-pull did not make: delete it, and keyless-pull makes its own of that name`,
    );
  });

  const ECR = '111122223333.dkr.ecr.eu-central-1.amazonaws.com';
  const provisioners = {
    'imagepullsecrets.preferred.jp/registry': ECR,
    'imagepullsecrets.preferred.jp/aws-role-arn': 'arn:aws:iam::111122223333:role/pull',
    'imagepullsecrets.preferred.jp/secret-name': 'chosen',
  };

  test.for<[what: string, labels: Raw, change: Partial<PolicyQuestion>, isStatic: boolean]>([
    ['is ours where the worker will try to make it', {}, {}, false],
    ['is static in a pod that opted out', { 'keyless-pull.dev/inject': 'disabled' }, {}, true],
    ['is static in a namespace that has not opted in', {}, { namespaceOptedIn: false }, true],
    [
      'is ours wherever a record says so',
      { 'keyless-pull.dev/inject': 'disabled' },
      { recorded: new Set(['chosen']), namespaceOptedIn: false },
      false,
    ],
  ])('of a name that the account chose %s', ([, labels, change, isStatic]) => {
    const rule = aRule({
      hosts: [ECR],
      exchange: { kind: 'ecr' },
      parameters: { 'role-arn': { from: 'annotation', accept: ['imagepullsecrets.preferred.jp/*'] } },
      secretName: 'annotation',
    });
    const pod = aPod([`${ECR}/app`], { imagePullSecrets: [{ name: 'chosen' }] }, { labels });
    const account = anAccount({}, { annotations: provisioners });
    const plan = planOf(aPod([`${ECR}/app`]), { rules: [rule] }, account);
    expect(plan.needs.map(({ need }) => need.secretName)).toEqual(['chosen']);

    const findings = findingsOf(question({ change: { pod, account, plan, ...change } }));

    expect(secretsOf(findings)).toEqual(isStatic ? [['chosen', 'explicit']] : []);
  });

  test('is found among a hundred thousand in no time', () => {
    const inPod = Array.from({ length: 100_000 }, (_, at) => `static-${at}`);
    const asked = question({ inPod });
    const started = performance.now();

    expect(findingsOf(asked).length).toBe(100_000);

    // A third of a second on a quiet machine; a search through all of them for each takes 17.
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test('is found once, in the order of the pod, whatever the lists are', () => {
    const names = fc.array(fc.constantFrom('a', 'b', 'c', OURS), { maxLength: 6 });
    fc.assert(
      fc.property(names, names, (inPod, inAccount) => {
        const found = findingsOf(question({ inPod, inAccount })).map(({ secret }) => secret);

        expect(found).toEqual([...new Set(inPod)].filter((name) => name !== OURS));
      }),
    );
  });
});

describe('an exemption', () => {
  const exempt = (change: Raw, now = NOW) => {
    const policy = { exemptions: [{ until: '2026-12-31', reason: 'moves in Q1', ...change }] };
    return findingsOf(question({ inPod: ['nexus-pull'], policy, change: { now } }))[0]?.exemption;
  };

  test('lets a finding pass, and says why and until when', () => {
    expect(exempt({})).toEqual({ until: '2026-12-31', reason: 'moves in Q1', daysLeft: 40 });
  });

  test.for([
    ['the namespace', { namespace: 'sh*' }, true],
    ['another namespace', { namespace: 'legacy-*' }, false],
    ['the account', { serviceAccount: 'checkout' }, true],
    ['another account', { serviceAccount: 'builder' }, false],
    ['the Secret', { secret: 'nexus-*' }, true],
    ['another Secret', { secret: 'harbor-*' }, false],
    ['all three', { namespace: 'shop', serviceAccount: 'check*', secret: '*-pull' }, true],
    ['two of three', { namespace: 'shop', serviceAccount: 'check*', secret: 'other' }, false],
  ] as const)('for %s holds: %s', ([, change, holds]) => {
    expect(exempt(change) !== undefined).toBe(holds);
  });

  test('holds until the last minute of its day in UTC', () => {
    expect(exempt({}, Date.parse('2026-12-31T23:59:59.999Z'))).toMatchObject({ daysLeft: 0 });
    expect(exempt({}, Date.parse('2027-01-01T00:00:00Z'))).toBeUndefined();
  });

  test.for([
    ['2026-12-31T00:00:00Z', 1],
    ['2026-12-31T00:00:00.001Z', 0],
    ['2026-12-17T12:00:00Z', 14],
    ['2026-12-18T00:00:00Z', 14],
    ['2026-12-18T00:00:00.001Z', 13],
    ['2026-12-16T23:59:59Z', 15],
  ] as const)('at %s has %s whole days left', ([now, days]) => {
    expect(exempt({}, Date.parse(now))?.daysLeft).toBe(days);
  });

  test('that lasts longest is the one that counts, so that nobody is warned for nothing', () => {
    const policy = {
      exemptions: [
        { until: '2026-11-22', reason: 'short' },
        { until: '2027-06-30', reason: 'long' },
        { until: '2026-12-31', reason: 'middle' },
      ],
    };

    const [finding] = findingsOf(question({ inPod: ['static'], policy }));

    expect(finding?.exemption).toMatchObject({ until: '2027-06-30', reason: 'long' });
  });

  test('never counts less than none, and never more than it has, on any day', () => {
    fc.assert(
      fc.property(fc.integer({ min: -400, max: 400 * 24 }), (hours) => {
        const now = Date.parse('2027-01-01T00:00:00Z') - hours * 3_600_000;

        const left = exempt({}, now)?.daysLeft;

        expect(left).toBe(hours <= 0 ? undefined : Math.floor((hours * 3_600_000) / DAY_MS));
      }),
    );
  });

  test('leaves the finding, so that it is still counted and shown', () => {
    const policy = { exemptions: [{ until: '2026-12-31', reason: 'x' }] };

    expect(findingsOf(question({ inPod: ['static'], policy })).length).toBe(1);
  });
});

describe('the sentence of a finding', () => {
  const sentence = (setting: Setting) => findingsOf(question({ inPod: ['static'], ...setting }))[0]?.message;

  test('for one written in the pod says which line to remove, and what the pod gets instead', () => {
    expect(sentence({})).toBe(
      '"static" in spec.imagePullSecrets is a static pull secret, written in the pod: remove that line; keyless-pull gives ' +
        'this pod its own credential for registry.team.example (keyless-pull render -f <manifest> --config <config> shows what shop/checkout-1 gets)',
    );
  });

  test('for one that the account brought names the account', () => {
    expect(sentence({ inAccount: ['static'] })).toContain(
      '"static" is a static pull secret, inherited from ServiceAccount checkout: remove it from the account\'s imagePullSecrets',
    );
  });

  test('in a namespace that has not opted in names the label to set', () => {
    expect(sentence({ change: { namespaceOptedIn: false } })).toContain(
      'label the namespace keyless-pull.dev/inject=enabled and keyless-pull gives this pod its own credential',
    );
  });

  test('of a pod that opted out names the label to remove', () => {
    const pod = aPod(
      [`${TEAM}/app`],
      { imagePullSecrets: [{ name: 'static' }] },
      { labels: { 'keyless-pull.dev/inject': 'disabled' } },
    );

    const text = sentence({ change: { pod, namespaceOptedIn: false } });

    expect(text).toContain(
      'label the namespace keyless-pull.dev/inject=enabled, remove the label keyless-pull.dev/inject=disabled from the pod ' +
        'and keyless-pull gives this pod its own credential for registry.team.example',
    );
  });

  test('lists five registries, and says how many more there are', () => {
    const images = (count: number) => Array.from({ length: count }, (_, at) => `r${at}.example/x`);

    expect(sentence({ images: images(5) })).toContain(
      'no rule covers r0.example, r1.example, r2.example, r3.example, r4.example:',
    );
    expect(sentence({ images: images(7) })).toContain('r4.example and 2 more:');
  });

  test('is made of what is wrong, the cure, and the command that shows more', () => {
    const [finding] = findingsOf(question({ inPod: ['static'] }));

    expect(finding?.message).toBe(
      `${finding?.what}; ${finding?.cure} (keyless-pull render -f <manifest> --config <config> shows what shop/checkout-1 gets)`,
    );
  });

  test('says which registries no rule covers', () => {
    const text = sentence({ images: [`${TEAM}/app`, 'ghcr.io/a/b'] });

    expect(text).toContain('its own credential for registry.team.example');
    expect(text).toContain(
      "no rule covers ghcr.io: ask the cluster's administrators for one if it is private",
    );
  });

  test('says so when no image needs it', () => {
    expect(sentence({ images: [] })).toContain('no image of this pod needs it');
  });

  test('says what stands in the way of a covered registry, and not that nobody needs it', () => {
    const annotations = { 'kubernetes.io/enforce-mountable-secrets': 'true' };
    const pod = aPod([`${TEAM}/app`], { imagePullSecrets: [{ name: 'static' }] });
    const account = anAccount({}, { annotations });

    const text = sentence({ change: { pod, account, plan: planOf(pod, {}, account) } });

    expect(text).toContain(
      'ServiceAccount checkout enforces mountable secrets: add keyless-pull-checkout-team-',
    );
    expect(text).not.toContain('no image of this pod needs it');
  });

  test('names a registry that the node serves by its rule', () => {
    const pod = aPod([`${TEAM}/app`], { imagePullSecrets: [{ name: 'static' }] });

    const text = sentence({
      change: { pod, plan: planOf(pod, { rules: [aRule({ delivery: ['kubelet'] })] }) },
    });

    expect(text).toContain('its own credential for team');
  });

  test('is one line, whatever the Secret is called', () => {
    expect(sentence({ inPod: ['a\nb'] })).not.toContain('\n');
  });
});

describe('a policy', () => {
  test('that says nothing is off, counts inherited secrets, and exempts nobody', () => {
    expect(Policy.parse({})).toEqual({ defaultMode: 'off', inherited: 'finding', exemptions: [] });
  });

  test.for(['tomorrow', '2026-13-01', '2026-02-30', '2026-12-31T00:00:00Z', '31.12.2026', ''])(
    'refuses %j as a day',
    (until) => {
      expect(Policy.safeParse({ exemptions: [{ until, reason: 'x' }] }).success).toBe(false);
    },
  );

  test('wants a reason for every exemption', () => {
    expect(Policy.safeParse({ exemptions: [{ until: '2026-12-31' }] }).success).toBe(false);
    expect(Policy.safeParse({ exemptions: [{ until: '2026-12-31', reason: '' }] }).success).toBe(false);
  });
});

describe('the mode of a namespace', () => {
  test.for([
    ['enforce', 'off', 'enforce'],
    ['audit', 'enforce', 'audit'],
    ['off', 'enforce', 'off'],
    [undefined, 'off', 'off'],
    [undefined, 'warn', 'warn'],
    ['enforced', 'off', 'warn'],
    ['', 'off', 'warn'],
    ['enforced', 'enforce', 'enforce'],
  ] as const)('labelled %s, with the default %s: %s', ([label, defaultMode, mode]) => {
    const labels = label === undefined ? {} : { 'keyless-pull.dev/static-pull-secrets': label };

    expect(staticPullSecretsMode(labels, defaultMode)).toBe(mode);
  });
});

describe('days until the next exemption ends', () => {
  const daysLeft = (...days: string[]) =>
    exemptionDaysLeft(Policy.parse({ exemptions: days.map((until) => ({ until, reason: 'x' })) }), NOW);

  test('are counted to the end of its last day, those that are over left out', () => {
    expect(daysLeft('2026-11-20', '2026-12-31', '2026-11-21')).toBe(0.5);
  });

  test('are endless without any', () => {
    expect(daysLeft()).toBe(Infinity);
    expect(daysLeft('2026-11-20')).toBe(Infinity);
  });
});
