// Which credentials an account has coming before any pod asks.
import { describe, expect, test } from 'vitest';
import { prewarmedNeeds } from '../../src/core/prewarm.ts';
import { aRule, anAccount, type Raw } from './builders.ts';

const EU = '111122223333.dkr.ecr.eu-west-1.amazonaws.com';
const ROLE = 'arn:aws:iam::111122223333:role/pull';

const ecr = (change: Raw = {}) =>
  aRule({
    hosts: ['*.dkr.ecr.*.amazonaws.com'],
    registries: ['111122223333'],
    exchange: { kind: 'ecr' },
    parameters: { 'role-arn': { from: 'annotation', accept: ['imagepullsecrets.preferred.jp/*'] } },
    prewarm: true,
    ...change,
  });

const hostsFor = (rule: ReturnType<typeof aRule>, annotations: Record<string, string>) =>
  prewarmedNeeds(rule, anAccount({}, { annotations })).map(({ need }) =>
    `${need.host} ${need.principal}`.trim(),
  );

describe('a rule that prewarms', () => {
  test('makes credentials for hosts that it names whole, for accounts that are annotated for it', () => {
    const rule = ecr({ hosts: [EU, '*.dkr.ecr.us-east-1.amazonaws.com'] });

    expect(hostsFor(rule, { 'keyless-pull.dev/role-arn': ROLE })).toEqual([`${EU} ${ROLE}`]);
    expect(hostsFor(rule, {})).toEqual([]);
  });

  test('makes one for each principal', () => {
    const annotations = { 'team.keyless-pull.dev/role-arn': `${ROLE}, ${ROLE}-two` };

    expect(hostsFor(ecr({ hosts: [EU] }), annotations)).toEqual([`${EU} ${ROLE}`, `${EU} ${ROLE}-two`]);
  });

  test('goes by the registry that a provisioner’s annotation selects, within the hosts of the rule', () => {
    const annotations = {
      'imagepullsecrets.preferred.jp/registry': EU,
      'imagepullsecrets.preferred.jp/aws-role-arn': ROLE,
    };
    const elsewhere = { ...annotations, 'imagepullsecrets.preferred.jp/registry': 'evil.example' };
    const notListed = {
      ...annotations,
      'imagepullsecrets.preferred.jp/registry': EU.replace('1111', '9999'),
    };

    expect(hostsFor(ecr(), annotations)).toEqual([`${EU} ${ROLE}`]);
    expect(hostsFor(ecr(), elsewhere)).toEqual([]);
    expect(hostsFor(ecr(), notListed)).toEqual([]);
  });

  test('that needs to be told nothing goes by an annotation of its own', () => {
    const rule = aRule({ prewarm: true });

    expect(hostsFor(rule, { 'keyless-pull.dev/prewarm': 'true' })).toEqual(['registry.team.example']);
    expect(hostsFor(rule, { 'team.keyless-pull.dev/prewarm': 'true' })).toEqual(['registry.team.example']);
    expect(hostsFor(rule, { 'keyless-pull.dev/prewarm': 'false' })).toEqual([]);
  });
});

test.for([
  ['does not prewarm', ecr({ hosts: [EU], prewarm: false })],
  ['leaves nothing in the namespace', ecr({ hosts: [EU], delivery: ['kubelet'] })],
] as const)('a rule that %s makes nothing ahead', ([, rule]) => {
  expect(hostsFor(rule, { 'keyless-pull.dev/role-arn': ROLE })).toEqual([]);
});
