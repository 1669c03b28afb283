// From a pod to its needs: every branch of the plan.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planPulls } from '../../src/core/pull-plan.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { aNeed, aPod, aRule, anAccount, identity, planOf } from './builders.ts';
import type { Plan } from '../../src/core/pull-plan.ts';

const TEAM = 'registry.team.example';

const hostsOf = (plan: Plan) => plan.needs.map(({ need }) => need.host);
const reasonsOf = (plan: Plan) =>
  plan.leftOut.map(({ reason, host, container }) => ({ reason, host, container }));

describe('a plan', () => {
  test('is one need per registry host that a rule covers', () => {
    const plan = planOf(aPod([`${TEAM}/app:1`]));

    expect(plan).toEqual({
      identity,
      needs: [expect.objectContaining({ need: aNeed({ host: TEAM }) })],
      onNode: [],
      tokens: [],
      inPod: {},
      leftOut: [],
    });
    expect(plan.needs[0]?.need.secretName).toBe(secretNameFor('checkout', 'team', '', TEAM));
  });

  test('of a pod without images is empty', () => {
    expect(planOf(aPod([]))).toEqual({ identity, needs: [], onNode: [], tokens: [], inPod: {}, leftOut: [] });
  });

  test('asks once for a host that several images name', () => {
    const pod = aPod([`${TEAM}/app:1`, `${TEAM}/sidecar:2`], {
      initContainers: [{ name: 'i', image: `${TEAM}/init` }],
    });

    expect(hostsOf(planOf(pod))).toEqual([TEAM]);
  });

  test('asks for image volumes and ephemeral containers too', () => {
    const rules = [aRule({ hosts: ['*.team.example'], exchange: { kind: 'pass-through' } })];
    const pod = aPod([], {
      volumes: [{ name: 'v', image: { reference: 'volumes.team.example/model' } }],
      ephemeralContainers: [{ name: 'e', image: 'debug.team.example/shell' }],
    });

    expect(hostsOf(planOf(pod, { rules }))).toEqual(['debug.team.example', 'volumes.team.example']);
  });

  test('keeps the order in which the pod names its registries', () => {
    const rules = [aRule({ hosts: ['b.example', 'a.example'] })];

    expect(hostsOf(planOf(aPod(['a.example/x', 'b.example/x', 'a.example/y']), { rules }))).toEqual([
      'a.example',
      'b.example',
    ]);
  });

  test('takes ports apart', () => {
    const rules = [aRule({ hosts: [TEAM, `${TEAM}:5000`] })];

    expect(hostsOf(planOf(aPod([`${TEAM}/x`, `${TEAM}:5000/x`, `${TEAM}:5001/x`]), { rules }))).toEqual([
      TEAM,
      `${TEAM}:5000`,
    ]);
  });

  test('knows Docker Hub by its short names', () => {
    const rules = [aRule({ name: 'hub', hosts: ['docker.io'] })];

    expect(
      hostsOf(planOf(aPod(['nginx', 'bitnami/redis:7', 'index.docker.io/library/busybox']), { rules })),
    ).toEqual(['docker.io']);
  });

  test('of a pod whose account was made anew has the same Secret names for another identity', () => {
    const pod = aPod([`${TEAM}/app`]);

    const [before, after] = [planOf(pod), planOf(pod, {}, anAccount({}, { uid: 'another-uid' }))];

    expect(after.identity.uid).toBe('another-uid');
    expect(after.needs[0]?.need.secretName).toBe(before.needs[0]?.need.secretName);
  });

  test('does not read what the annotations of a pod say about credentials', () => {
    const annotations = { 'keyless-pull.dev/credentials': 'team=some-other-secret' };

    expect(planOf(aPod([`${TEAM}/app`], {}, { annotations }))).toEqual(planOf(aPod([`${TEAM}/app`])));
  });
});

describe('left out, with the reason, is', () => {
  test('a host without a rule, once, by the container that named it first', () => {
    const plan = planOf(aPod(['ghcr.io/a/b', 'ghcr.io/c/d', `${TEAM}/app`]));

    expect(hostsOf(plan)).toEqual([TEAM]);
    expect(reasonsOf(plan)).toEqual([{ reason: 'no-rule', host: 'ghcr.io', container: 'c0' }]);
    expect(plan.leftOut[0]?.message).toBe(
      'no rule covers registry ghcr.io: it is pulled without a credential from keyless-pull',
    );
  });

  test('an image that cannot be read, while the others are planned', () => {
    const plan = planOf(aPod(['Not An Image', `${TEAM}/app`]));

    expect(hostsOf(plan)).toEqual([TEAM]);
    expect(reasonsOf(plan)).toEqual([{ reason: 'image-unparseable', host: '', container: 'c0' }]);
    expect(plan.leftOut[0]?.message).toContain('"Not An Image"');
  });

  test('what goes beyond the number of credentials for one pod', () => {
    const hosts = ['a.example', 'b.example', 'c.example'];

    const plan = planOf(aPod(hosts.map((host) => `${host}/x`)), {
      rules: [aRule({ hosts })],
      needsPerPod: 2,
    });

    expect(hostsOf(plan)).toEqual(['a.example', 'b.example']);
    expect(reasonsOf(plan)).toEqual([{ reason: 'too-many-needs', host: 'c.example', container: 'c2' }]);
  });

  test.for<[what: string, imageAt: (at: number) => string]>([
    ['that can be read', (at) => `h${at}.example/a`],
    ['that cannot', (at) => `h${at}.example/NO`],
  ])('what comes after two hundred and fifty-six registries %s', ([, imageAt]) => {
    const images = Array.from({ length: 1_000 }, (_, at) => imageAt(at));

    const { needs, leftOut } = planOf(aPod([...images, `${TEAM}/app`]));

    expect(needs).toEqual([]);
    expect(leftOut).toHaveLength(257);
    expect(leftOut.at(-1)).toEqual({
      reason: 'too-many-needs',
      host: '',
      container: 'c256',
      message:
        'this pod names too many registries: what comes after 256 is pulled without a credential from keyless-pull',
    });
  });

  test('many containers of one registry are not many registries', () => {
    const images = Array.from({ length: 1_000 }, (_, at) => `ghcr.io/a/b${at}`);

    expect(hostsOf(planOf(aPod([...images, `${TEAM}/app`])))).toEqual([TEAM]);
  });

  test('what an account with enforced mountable secrets does not list', () => {
    const annotations = { 'kubernetes.io/enforce-mountable-secrets': 'true' };
    const name = secretNameFor('checkout', 'team', '', TEAM);

    const without = planOf(aPod([`${TEAM}/app`]), {}, anAccount({}, { annotations }));
    const listed = planOf(
      aPod([`${TEAM}/app`]),
      {},
      anAccount({ imagePullSecrets: [{ name }] }, { annotations }),
    );
    const notEnforced = planOf(
      aPod([`${TEAM}/app`]),
      {},
      anAccount({}, { annotations: { 'kubernetes.io/enforce-mountable-secrets': 'false' } }),
    );

    expect(reasonsOf(without)).toEqual([{ reason: 'mountable-secrets', host: TEAM, container: 'c0' }]);
    expect(without.leftOut[0]?.message).toContain(`add ${name} to its imagePullSecrets`);
    expect(hostsOf(listed)).toEqual([TEAM]);
    expect(hostsOf(notEnforced)).toEqual([TEAM]);
  });

  test('a pod that opted out by its label', () => {
    const plan = planOf(aPod([`${TEAM}/app`], {}, { labels: { 'keyless-pull.dev/inject': 'disabled' } }));

    expect(plan.needs).toEqual([]);
    expect(reasonsOf(plan)).toEqual([{ reason: 'opted-out', host: '', container: '' }]);
  });

  test('nothing of the mirror of a static pod, which nobody can change', () => {
    const plan = planOf(aPod([`${TEAM}/app`], {}, { annotations: { 'kubernetes.io/config.mirror': 'x' } }));

    expect(plan).toMatchObject({ needs: [], leftOut: [] });
  });
});

describe('a rule with subjects', () => {
  const rules = [
    aRule({ name: 'prod', subjects: [{ namespaceSelector: { matchLabels: { tier: 'prod' } } }] }),
    aRule({ name: 'wide', hosts: ['*.team.example'], exchange: { kind: 'pass-through' } }),
  ];
  const pod = aPod([`${TEAM}/app`]);

  test('is taken where it is for the account', () => {
    const plan = planPulls(pod, anAccount(), { tier: 'prod' }, { rules, needsPerPod: 8 });

    expect(plan.needs[0]?.rule.name).toBe('prod');
  });

  test('leaves the host to another rule where it is not', () => {
    const plan = planPulls(pod, anAccount(), { tier: 'test' }, { rules, needsPerPod: 8 });

    expect(plan.needs[0]?.rule.name).toBe('wide');
  });

  test('covers nothing where there is no other', () => {
    const plan = planPulls(pod, anAccount(), {}, { rules: rules.slice(0, 1), needsPerPod: 8 });

    expect(reasonsOf(plan)).toEqual([{ reason: 'no-rule', host: TEAM, container: 'c0' }]);
  });
});

describe('delivery and token volume', () => {
  const source = { rule: 'team', audience: 'https://registry.team.example', expirationSeconds: 3600 };

  test.for([
    ['secret, auto', ['secret'], 'auto', 1, [], []],
    ['secret, none', ['secret'], 'none', 1, [], []],
    ['secret, volume', ['secret'], 'volume', 1, [], [source]],
    ['secret, mount', ['secret'], 'mount', 1, [], [source]],
    ['kubelet, auto', ['kubelet'], 'auto', 0, ['team'], [source]],
    ['kubelet, none', ['kubelet'], 'none', 0, ['team'], []],
    ['both, auto', ['secret', 'kubelet'], 'auto', 1, ['team'], [source]],
  ] as const)('%s', ([, delivery, inject, needs, onNode, tokens]) => {
    const rules = [aRule({ delivery, token: { inject } })];

    const plan = planOf(aPod([`${TEAM}/app`]), { rules });

    expect(plan.needs.length).toBe(needs);
    expect(plan.onNode).toEqual(onNode);
    expect(plan.tokens).toEqual(tokens);
  });

  test('name a rule once, however many of its hosts the pod pulls from', () => {
    const rules = [aRule({ hosts: ['a.example', 'b.example'], delivery: ['kubelet'] })];

    const plan = planOf(aPod(['a.example/x', 'b.example/x']), { rules });

    expect(plan.onNode).toEqual(['team']);
    expect(plan.tokens).toEqual([source]);
  });

  test('under kubelet do not count against the credentials of one pod', () => {
    const rules = [aRule({ hosts: ['a.example', 'b.example'], delivery: ['kubelet'] })];

    expect(planOf(aPod(['a.example/x', 'b.example/x']), { rules, needsPerPod: 1 }).leftOut).toEqual([]);
  });
});

describe('what the pod asks for its own containers', () => {
  const rules = [aRule({ inPod: ['token', 'docker-config'] })];
  const annotations = { 'keyless-pull.dev/mount': '*', 'keyless-pull.dev/docker-config': 'team:c0' };

  test('is in the plan, token and need included, though no image leads to the rule', () => {
    const { needs, tokens, inPod, leftOut } = planOf(aPod(['gcr.io/crane'], {}, { annotations }), { rules });

    expect(needs.map(({ need }) => need)).toEqual([aNeed({ host: TEAM })]);
    expect(tokens.map(({ rule }) => rule)).toEqual(['team']);
    expect(inPod).toEqual({
      tokens: { rules: ['team'], containers: ['c0'] },
      dockerConfig: { secretName: needs[0]?.need.secretName, containers: ['c0'] },
    });
    expect(leftOut.map(({ reason }) => reason)).toEqual(['no-rule']);
  });

  test('comes behind what its images need, also where a pod may have one credential alone', () => {
    const other = aRule({ name: 'other', hosts: ['other.example'] });
    const pod = aPod(['other.example/crane'], {}, { annotations });

    expect(hostsOf(planOf(pod, { rules: [...rules, other] }))).toEqual(['other.example', TEAM]);
    expect(hostsOf(planOf(pod, { rules: [...rules, other], needsPerPod: 1 }))).toEqual(['other.example']);
  });

  test('is nothing where the pod opted out, or is the mirror of a static one', () => {
    const out = aPod([`${TEAM}/app`], {}, { annotations, labels: { 'keyless-pull.dev/inject': 'disabled' } });
    const mirror = aPod(
      [`${TEAM}/app`],
      {},
      { annotations: { ...annotations, 'kubernetes.io/config.mirror': 'x' } },
    );

    for (const pod of [out, mirror]) expect(planOf(pod, { rules })).toMatchObject({ needs: [], inPod: {} });
  });

  test('is told behind what was left out of the pull, and keeps nothing else from it', () => {
    const pod = aPod([`${TEAM}/app`], {}, { annotations: { 'keyless-pull.dev/mount': 'ghost,' } });

    expect(planOf(pod, { rules })).toMatchObject({
      needs: [{ need: { host: TEAM } }],
      tokens: [],
      inPod: {},
      leftOut: [{ reason: 'request-malformed', host: '', container: '' }],
    });
  });
});

test('a need has a Secret name and a digest of its own for every principal', () => {
  const parameters = { robot: { from: 'annotation' } };
  const rule = aRule({ exchange: { kind: 'quay' }, parameters });
  const account = anAccount({}, { annotations: { 'keyless-pull.dev/robot': 'shop+one, shop+two' } });

  const { needs } = planOf(aPod([`${TEAM}/app:1`]), { rules: [rule] }, account);

  expect(needs.map(({ need }) => need.principal)).toEqual(['shop+one', 'shop+two']);
  expect(new Set(needs.map(({ need }) => need.secretName)).size).toBe(2);
  expect(new Set(needs.map(({ need }) => need.digest)).size).toBe(2);
});

test('every host of every pod is either needed, on the node, or left out with a reason, and never twice', () => {
  const host = fc.constantFrom(
    'a.example',
    'b.example:5000',
    'c.other.example',
    'docker.io',
    'ghcr.io',
    'd.example',
  );
  const images = fc.array(
    fc.oneof(
      host.map((name) => `${name}/app:1`),
      fc.constantFrom('nginx', 'NOT/valid', ''),
    ),
    { maxLength: 8 },
  );
  const rules = [
    aRule({ name: 'one', hosts: ['a.example', 'b.example:5000'] }),
    aRule({ name: 'two', hosts: ['*.other.example'], delivery: ['kubelet'] }),
    aRule({ name: 'three', hosts: ['docker.io'], subjects: [{ serviceAccounts: ['other'] }] }),
  ];
  fc.assert(
    fc.property(images, fc.integer({ min: 1, max: 3 }), (names, needsPerPod) => {
      const plan = planOf(aPod(names), { rules, needsPerPod });

      const outcomes = [...hostsOf(plan), ...plan.leftOut.map((left) => left.host).filter(Boolean)];
      expect(new Set(outcomes).size).toBe(outcomes.length);
      expect(plan.needs.length).toBeLessThanOrEqual(needsPerPod);
      expect(plan.onNode.includes('two')).toBe(names.includes('c.other.example/app:1'));
    }),
    { numRuns: 1000 },
  );
});
