// The pull secrets that an account lists: which are static, and what is said of them.
import { describe, expect, test } from 'vitest';
import { accountFindingsOf, type AccountQuestion } from '../../src/core/account-policy.ts';
import { Policy } from '../../src/core/pull-policy.ts';
import { aRule, anAccount, type Raw } from './builders.ts';

const PROVISIONER = 'imagepullsecrets.preferred.jp';

function found(secrets: string[], change: Partial<AccountQuestion> = {}, annotations: Raw = {}) {
  const account = anAccount({ imagePullSecrets: secrets.map((name) => ({ name })) }, { annotations });
  return accountFindingsOf({
    account,
    rules: [aRule()],
    namespaceLabels: {},
    namespaceOptedIn: true,
    policy: Policy.parse({}),
    ownerOf: () => undefined,
    now: 0,
    ...change,
  });
}
const names = (findings: ReturnType<typeof found>) => findings.map(({ secret }) => secret);

describe('an account that lists', () => {
  const quay = aRule({
    hosts: ['quay.io'],
    exchange: { kind: 'quay' },
    secretName: 'annotation',
    parameters: {
      robot: { from: 'annotation', accept: [`${PROVISIONER}/*`, 'quay.io/federated-robot-account'] },
    },
  });

  test.for<[what: string, findings: ReturnType<typeof found>, secrets: string[]]>([
    ['nothing', found([]), []],
    ['a static pull secret', found(['nexus']), ['nexus']],
    ['it twice', found(['nexus', 'nexus']), ['nexus']],
    ['a name like ours: its pods are judged', found(['keyless-pull-checkout-team-x']), []],
    ['a name like ours of its own', found(['keyless-pull-x'], { ownerOf: () => 'checkout' }), []],
    [
      'a name like ours of another account',
      found(['keyless-pull-x'], { ownerOf: () => 'other' }),
      ['keyless-pull-x'],
    ],
    ['a name that a record of its own has', found(['pull'], { ownerOf: () => 'checkout' }), []],
    [
      'anything, where that is allowed',
      found(['nexus'], { policy: Policy.parse({ inherited: 'allowed' }) }),
      [],
    ],
    [
      'a name that nobody lets it choose',
      found(['imagepullsecret-checkout'], { rules: [quay] }, { [`${PROVISIONER}/registry`]: 'quay.io' }),
      ['imagepullsecret-checkout'],
    ],
  ])('%s', ([, findings, secrets]) => {
    expect(names(findings)).toEqual(secrets);
  });

  test('the name that it chose under `secretName: annotation` lists its own', () => {
    const ecr = aRule({
      hosts: ['*.dkr.ecr.*.amazonaws.com'],
      registries: ['111122223333'],
      exchange: { kind: 'ecr' },
      secretName: 'annotation',
      parameters: { 'role-arn': { from: 'annotation', accept: [`${PROVISIONER}/*`] } },
    });
    const annotations = {
      [`${PROVISIONER}/registry`]: '111122223333.dkr.ecr.eu-west-1.amazonaws.com',
      [`${PROVISIONER}/aws-role-arn`]: 'arn:aws:iam::111122223333:role/pull',
      [`${PROVISIONER}/secret-name`]: 'chosen',
    };

    expect(names(found(['chosen', 'nexus'], { rules: [ecr] }, annotations))).toEqual(['nexus']);
  });
});

describe('what is said of it', () => {
  test('names account, line, cure and the command that shows more', () => {
    expect(found(['nexus'])[0]).toEqual({
      secret: 'nexus',
      origin: 'explicit',
      what: '"nexus" in imagePullSecrets of ServiceAccount checkout is a static pull secret, which its pods inherit: remove that line',
      cure: 'keyless-pull gives its pods credentials of their own for registry.team.example',
      message:
        '"nexus" in imagePullSecrets of ServiceAccount checkout is a static pull secret, which its pods inherit: remove that line; keyless-pull gives its pods credentials of their own for registry.team.example (keyless-pull audit -n shop shows what uses it)',
    });
  });

  test('says so where no rule is for the account, and where the namespace has not opted in', () => {
    const others = aRule({ subjects: [{ serviceAccounts: ['builder'] }] });

    expect(found(['nexus'], { rules: [others] })[0]?.cure).toContain('no rule is for this account');
    expect(found(['nexus'], { namespaceOptedIn: false })[0]?.cure).toMatch(
      /^label the namespace keyless-pull.dev\/inject=enabled and keyless-pull gives/,
    );
  });

  test('has the exemption that lets it pass', () => {
    const policy = Policy.parse({ exemptions: [{ secret: 'nex*', until: '1970-01-02', reason: 'moves' }] });

    expect(found(['nexus'], { policy })[0]?.exemption).toEqual({
      until: '1970-01-02',
      reason: 'moves',
      daysLeft: 2,
    });
  });
});
