// Which managed Secret becomes a pod's docker config, through the plan as the webhook and the worker make it.
import { describe, expect, test } from 'vitest';
import { dockerConfigSource } from '../../src/core/docker-config.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { aPod, aRule, anAccount, planOf } from './builders.ts';
import type { LeftOut, PlanSettings } from '../../src/core/pull-plan.ts';

const TEAM = 'registry.team.example';
const SECRET = secretNameFor('checkout', 'team', '', TEAM);
const asksFor = (text: string) => ({ annotations: { 'keyless-pull.dev/docker-config': text } });
const team = (change = {}) => aRule({ inPod: ['docker-config'], ...change });
const ofClouds = { exchange: { kind: 'ecr' }, registries: ['111122223333'] };
const ROLE = 'arn:aws:iam::111122223333:role/pull';
const role = { parameters: { 'role-arn': { from: 'rule', value: ROLE } } };
const ecr = (hosts: readonly string[], change = {}) => team({ ...ofClouds, ...role, hosts, ...change });
const EU = '111122223333.dkr.ecr.eu-west-1.amazonaws.com';
const US = '111122223333.dkr.ecr.us-east-1.amazonaws.com';

function planFor(
  images: readonly string[],
  rule = team(),
  { text = 'team:c0', account = anAccount(), settings = {} as Partial<PlanSettings>, labels = {} } = {},
) {
  const plan = planOf(aPod(images, {}, asksFor(text)), { rules: [rule], ...settings }, account, labels);
  const { needs, inPod, leftOut } = plan;
  return {
    hosts: needs.map(({ need }) => need.host),
    dockerConfig: inPod.dockerConfig,
    told: leftOut
      .filter(({ reason }) => reason !== 'no-rule')
      .map(({ message }) => message.replace('annotation keyless-pull.dev/docker-config: ', '')),
    reasons: leftOut.map(({ reason }) => reason).filter((reason) => reason !== 'no-rule'),
    tokens: plan.tokens,
  };
}

const given = { secretName: SECRET, containers: ['c0'] };

describe('given is', () => {
  test('the Secret that the pod pulls with', () => {
    expect(planFor([`${TEAM}/app`])).toMatchObject({ hosts: [TEAM], dockerConfig: given, told: [] });
  });

  test('the Secret of a registry that no image of the pod is from: a need like any other', () => {
    expect(planFor(['gcr.io/tools/crane'])).toMatchObject({ hosts: [TEAM], dockerConfig: given, told: [] });
  });

  test('the Secret of the one host that the rule names whole, whatever else the pod pulls from', () => {
    const rule = ecr([EU, '*.dkr.ecr.us-east-1.amazonaws.com']);
    const { hosts, dockerConfig } = planFor([`${US}/app`], rule);

    expect(hosts).toEqual([US, EU]);
    expect(dockerConfig?.secretName).toBe(secretNameFor('checkout', 'team', ROLE, EU));
  });

  test('the Secret of the one host that the images lead to, where the rule names patterns', () => {
    const rule = ecr(['*.dkr.ecr.*.amazonaws.com']);

    expect(planFor([`${US}/app`, `${US}/sidecar`], rule)).toMatchObject({
      hosts: [US],
      dockerConfig: { secretName: secretNameFor('checkout', 'team', ROLE, US) },
      told: [],
    });
  });

  test('the same when another webhook has added a container from there', () => {
    const before = planFor(['gcr.io/tools/crane']);
    const after = planFor(['gcr.io/tools/crane', `${TEAM}/sidecar`]);

    expect(after).toEqual(before);
  });

  test('beside the tokens that a need of that rule brings along', () => {
    const rule = team({ token: { inject: 'volume' } });

    expect(planFor(['gcr.io/tools/crane'], rule).tokens.map((token) => token.rule)).toEqual(['team']);
  });
});

describe('not given, and told, is', () => {
  test('what no rule is called, quoted short', () => {
    expect(planFor(['x.example/y'], team(), { text: 'ghost:c0' })).toMatchObject({
      hosts: [],
      dockerConfig: undefined,
      reasons: ['no-such-rule'],
      told: ['no rule is called "ghost"'],
    });
    const { told } = planFor(['x.example/y'], team(), { text: `${'g\n'.repeat(900)}:c0` });
    expect(told.join('').length).toBeLessThan(110);
  });

  test('a rule for others', () => {
    const rule = team({ subjects: [{ serviceAccounts: ['other'] }] });

    expect(planFor(['x.example/y'], rule)).toMatchObject({
      hosts: [],
      dockerConfig: undefined,
      told: ['rule team is not for ServiceAccount checkout in this namespace'],
    });
  });

  test('a rule that does not list it', () => {
    expect(planFor([`${TEAM}/app`], aRule({ inPod: ['token'] }))).toMatchObject({
      hosts: [TEAM],
      dockerConfig: undefined,
      reasons: ['not-in-pod'],
      told: ['rule team lets no pod have its Secret (inPod does not list docker-config)'],
    });
  });

  test('a rule without Secrets', () => {
    expect(planFor([`${TEAM}/app`], team({ delivery: ['kubelet'] }))).toMatchObject({
      hosts: [],
      dockerConfig: undefined,
      told: ['rule team is served by the node and has no Secret (delivery: kubelet)'],
    });
  });

  test.for([
    ['patterns', ecr(['*.dkr.ecr.*.amazonaws.com'])],
    ['several hosts', ecr([EU, US])],
    ['a host off its own list', ecr([EU], { registries: ['999988887777'] })],
  ] as const)('a rule with %s, where no image says which is meant', ([, rule]) => {
    expect(planFor(['x.example/y'], rule)).toMatchObject({
      hosts: [],
      dockerConfig: undefined,
      reasons: ['no-host'],
      told: [
        'no image of this pod says which host of rule team is meant: pull one from there, or ask for a rule that names that host alone',
      ],
    });
  });

  test('a rule with several hosts, where the images lead to more than one', () => {
    expect(planFor([`${EU}/app`, `${US}/app`], ecr([EU, US]))).toMatchObject({
      hosts: [EU, US],
      dockerConfig: undefined,
      reasons: ['several-secrets'],
      told: [
        'rule team gives this pod 2 credentials, each a Secret of its own: which one is meant cannot be said',
      ],
    });
  });

  test('a rule under which the account is several, and no need is made of it', () => {
    const rule = team({ exchange: { kind: 'quay' }, parameters: { robot: { from: 'annotation' } } });
    const annotations = { 'keyless-pull.dev/robot': 'shop+one, shop+two' };

    const planned = planFor(['x.example/y'], rule, { account: anAccount({}, { annotations }) });

    expect(planned).toMatchObject({ hosts: [], dockerConfig: undefined, reasons: ['several-secrets'] });
  });

  test('a rule whose parameters are wrong: one sentence, about the parameters', () => {
    const rule = team({ exchange: { kind: 'quay' }, parameters: { robot: { from: 'annotation' } } });

    expect(planFor(['x.example/y'], rule)).toMatchObject({
      hosts: [],
      dockerConfig: undefined,
      reasons: ['parameters'],
    });
  });

  test('one credential more than a pod may have', () => {
    const other = aRule({ name: 'other', hosts: ['other.example'], audience: 'other' });

    const planned = planFor(['other.example/app'], team(), {
      settings: { rules: [team(), other], needsPerPod: 1 },
    });

    expect(planned).toMatchObject({
      hosts: ['other.example'],
      dockerConfig: undefined,
      reasons: ['too-many-needs'],
    });
  });

  test('a Secret that the account keeps its pods from mounting, also where the reference may stand', () => {
    const annotations = { 'kubernetes.io/enforce-mountable-secrets': 'true' };
    const account = anAccount({ imagePullSecrets: [{ name: SECRET }] }, { annotations });

    expect(planFor([`${TEAM}/app`], team(), { account })).toMatchObject({
      hosts: [TEAM],
      dockerConfig: undefined,
      reasons: ['mountable-secrets'],
      told: [
        'ServiceAccount checkout enforces mountable secrets: remove its annotation kubernetes.io/enforce-mountable-secrets',
      ],
    });
  });

  test('anything to a container that the pod does not have: then there is no need either', () => {
    expect(planFor(['gcr.io/tools/crane'], team(), { text: 'team:ghost' })).toMatchObject({
      hosts: [],
      dockerConfig: undefined,
      reasons: ['no-such-container'],
    });
  });
});

test('a host is the rule’s where it names one whole', () => {
  const leftOut: LeftOut[] = [];
  const [one, several] = [team(), ecr([EU, US])];

  expect(dockerConfigSource('team', anAccount(), [one], () => true, leftOut)).toEqual({
    rule: one,
    host: TEAM,
  });
  expect(dockerConfigSource('team', anAccount(), [several], () => true, leftOut)).toEqual({ rule: several });
  expect(leftOut).toEqual([]);
});
