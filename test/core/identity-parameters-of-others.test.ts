// Accounts that are annotated for another tool already: what is read of it, and only where the rule accepts it.
import { describe, expect, test } from 'vitest';
import { principalsOf } from '../../src/core/identity-parameters.ts';
import { families } from '../../src/registry/families.ts';
import { aRule } from './builders.ts';
import { samples } from './samples.ts';
import type { FamilyFacts } from '../../src/core/registry-family.ts';

describe("other tools' annotations", () => {
  const foreign = Object.entries(families as Record<string, FamilyFacts>).flatMap(([kind, { parameters }]) =>
    Object.entries(parameters).flatMap(([key, grammar]) =>
      (grammar.foreign ?? []).map((annotation) => ({ kind, key, annotation })),
    ),
  );

  test('are those that the documentation lists', () => {
    expect(new Set(foreign.map(({ annotation }) => annotation))).toEqual(
      new Set([
        'eks.amazonaws.com/role-arn',
        'eks.amazonaws.com/ecr-role-arn',
        'iam.gke.io/gcp-service-account',
        'gcp.auth.fluxcd.io/workload-identity-provider',
        'kubernetes.azure.com/acr-client-id',
        'kubernetes.azure.com/acr-tenant-id',
        'azure.workload.identity/client-id',
        'azure.workload.identity/tenant-id',
        'quay.io/federated-robot-account',
        'cloudsmith.io/org-slug',
        'cloudsmith.io/service-slug',
        'imagepullsecrets.preferred.jp/aws-role-arn',
        'imagepullsecrets.preferred.jp/googlecloud-workload-identity-provider',
        'imagepullsecrets.preferred.jp/googlecloud-service-account-email',
      ]),
    );
  });

  test.for(foreign)(
    '$annotation is read as $key of $kind where it is accepted, singly or with its prefix',
    ({ kind, key, annotation }) => {
      const { host, values } = samples[kind] ?? { host: '', values: {} };
      const rest = Object.entries(values).filter(([name]) => name !== key);
      const fixed = Object.fromEntries(rest.map(([name, value]) => [name, { from: 'rule', value }]));
      const found = (accept: string[] | undefined) => {
        const parameters = { ...fixed, [key]: { from: 'annotation', ...(accept && { accept }) } };
        const rule = aRule({ hosts: [host], exchange: { kind }, parameters });
        const annotations = { [annotation]: values[key] ?? 'a sample is missing' };
        return principalsOf(rule, { name: 'a', annotations }, host).principals[0]?.parameters[key];
      };

      expect(found([annotation])).toBe(values[key]);
      expect(found([annotation.replace(/\/.*/, '/*')])).toBe(values[key]);
      expect(found(['other.example/*'])).toBeUndefined();
      expect(found(undefined)).toBeUndefined();
    },
  );
});

const PREFIX = 'imagepullsecrets.preferred.jp/';
const ECR = samples['ecr']?.host ?? '';
const ROLE = samples['ecr']?.values['role-arn'] ?? '';
const AUDIENCE = 'keyless.team.example';

interface Wish {
  readonly host?: string;
  readonly name?: string;
  /** Of the rule. */
  readonly parameters?: unknown;
  readonly secretName?: string;
}

/** An ECR rule that takes all of the provisioner's vocabulary, read for an account that uses it. */
function readFor(
  annotations: Record<string, string>,
  { host = ECR, name = 'checkout', ...change }: Wish = {},
) {
  const rule = aRule({
    hosts: [ECR, '*.dkr.ecr.*.amazonaws.com'],
    registries: ['111122223333', '444455556666'],
    audience: AUDIENCE,
    acceptAudiences: ['sts.amazonaws.com'],
    exchange: { kind: 'ecr' },
    parameters: { 'role-arn': { from: 'annotation', accept: [`${PREFIX}*`] } },
    secretName: 'annotation',
    ...change,
  });
  const own = Object.entries(annotations).map(([key, value]) => [
    key.includes('/') ? key : `${PREFIX}${key}`,
    value,
  ]);
  return principalsOf(rule, { name, annotations: Object.fromEntries(own) }, host);
}

describe('an account for the image-pull-secrets-provisioner', () => {
  const usual = { registry: ECR, audience: 'sts.amazonaws.com', 'aws-role-arn': ROLE };

  test('works unchanged: its principal, its audience and the name of its Secret', () => {
    expect(readFor(usual)).toMatchObject({
      principals: [
        {
          name: ROLE,
          parameters: { 'role-arn': ROLE },
          audience: 'sts.amazonaws.com',
          secretName: 'imagepullsecret-checkout',
        },
      ],
      faults: [],
      isAnnotated: true,
    });
  });

  test('may leave the audience out, and has that of the rule then', () => {
    const [with_, without] = [readFor(usual), readFor({ ...usual, audience: AUDIENCE })];
    const { audience: _left, ...rest } = usual;

    expect(readFor(rest).principals[0]?.audience).toBe(AUDIENCE);
    expect(readFor(rest).principals[0]?.digest).toBe(without.principals[0]?.digest);
    expect(with_.principals[0]?.digest).not.toBe(without.principals[0]?.digest);
  });

  test.for(['api', '', 'sts.amazonaws.com,api', 'https://kubernetes.default.svc'])(
    'cannot have an audience that the rule does not name: %j',
    (audience) => {
      expect(readFor({ ...usual, audience })).toMatchObject({
        principals: [],
        faults: [
          `annotation ${PREFIX}audience: rule team takes the audience ${AUDIENCE} alone; acceptAudiences of the rule can name others`,
        ],
      });
    },
  );

  test('keeps to the registry that it names: at others its annotations do not count', () => {
    const host = '444455556666.dkr.ecr.eu-west-1.amazonaws.com';

    expect(readFor(usual, { host })).toEqual({
      principals: [],
      faults: [
        `ServiceAccount checkout has no annotation keyless-pull.dev/role-arn, which rule team needs (its ${PREFIX}registry names another registry than ${host})`,
      ],
      isAnnotated: false,
      wants: { annotation: 'keyless-pull.dev/role-arn', looksLike: 'arn:aws:iam::111122223333:role/NAME' },
    });
  });

  test('that names no registry is served at every host of the rule, with computed names', () => {
    const { registry: _left, ...rest } = usual;

    const { principals } = readFor(rest, { host: '444455556666.dkr.ecr.eu-west-1.amazonaws.com' });

    expect(principals[0]).toMatchObject({ name: ROLE, audience: 'sts.amazonaws.com' });
    expect(principals[0]).not.toHaveProperty('secretName');
  });

  test('that has our annotation too is read by ours, and nothing of the other vocabulary counts', () => {
    const ours = `${ROLE}-ours`;

    const { principals } = readFor({ ...usual, 'secret-name': 'mine', 'keyless-pull.dev/role-arn': ours });

    expect(principals).toEqual([
      {
        name: ours,
        parameters: { 'role-arn': ours },
        audience: AUDIENCE,
        digest: expect.any(String) as string,
      },
    ]);
  });

  test('is not read at all where the rule does not accept it', () => {
    const parameters = { 'role-arn': { from: 'annotation', value: `${ROLE}-default` } };

    const { principals, isAnnotated } = readFor(usual, { parameters });

    expect(principals[0]).toMatchObject({ name: `${ROLE}-default`, audience: AUDIENCE });
    expect(principals[0]).not.toHaveProperty('secretName');
    expect(isAnnotated).toBe(false);
  });

  test('with several principals has its own name for the Secret of the first', () => {
    const roles = `${ROLE}, ${ROLE}-two`;

    const { principals } = readFor({ ...usual, 'aws-role-arn': roles, 'secret-name': 'mine' });

    expect(principals.map(({ secretName }) => secretName)).toEqual(['mine', undefined]);
  });

  test('has computed names where the rule does not say secretName: annotation', () => {
    const { principals } = readFor({ ...usual, 'secret-name': 'mine' }, { secretName: 'computed' });

    expect(principals[0]).not.toHaveProperty('secretName');
  });

  test.for(['mine', 'a.b-c.d', '0', 'a'.repeat(253)])('may name its Secret %s', (name) => {
    expect(readFor({ ...usual, 'secret-name': name }).principals[0]?.secretName).toBe(name);
  });

  test.for([
    '',
    'Mine',
    '-mine',
    'mine-',
    'a..b',
    'a.-b',
    'a-.b',
    '.a',
    'a/b',
    '../a',
    'a b',
    'mine\n',
    'keyless-pull-mine',
    'a'.repeat(254),
  ])('cannot name its Secret %j, and is told so without the name', (name) => {
    expect(readFor({ ...usual, 'secret-name': name })).toMatchObject({
      principals: [],
      faults: [
        `annotation ${PREFIX}secret-name: write the name of a Secret that does not begin with keyless-pull-`,
      ],
    });
  });

  test('whose name is too long for the usual Secret is told so', () => {
    expect(readFor(usual, { name: 'a'.repeat(250) }).faults.length).toBe(1);
  });
});
