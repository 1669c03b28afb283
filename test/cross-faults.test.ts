// What no single field of a rule can tell: where it goes, what it is for, each fault with its exact place and sentence.
import { describe, expect, test } from 'vitest';
import { crossFaults } from '../src/cross-faults.ts';
import { families } from '../src/registry/families.ts';
import { AWS, AZURE, faultsOf, QUAY, STS, TEAM, type Raw } from './cross-fault-rules.ts';

describe('a rule alone', () => {
  test.for([TEAM, AWS, AZURE, STS, QUAY])('of $exchange.kind may be right', (rule) => {
    expect(faultsOf(rule)).toEqual([]);
  });

  test.for<[string, Raw, string[]]>([
    [
      "has hosts of its family's alone",
      { ...AWS, hosts: ['registry.team.example', '111122223333.dkr.ecr.eu-west-1.amazonaws.com'] },
      [
        'hosts.0: this is no host of ecr: those are like *.dkr.ecr.*.amazonaws.com, *.dkr.ecr-fips.*.amazonaws.com, *.dkr-ecr.*.on.aws, *.dkr-ecr-fips.*.on.aws',
      ],
    ],
    [
      'has no host of its family with a port',
      { ...AZURE, hosts: ['shopregistry.azurecr.io:443'] },
      [
        'hosts.0: this is no host of acr: those are like *.azurecr.io, *.azurecr.cn, *.azurecr.us, *.azurecr.de',
      ],
    ],
    [
      'has no pattern that is wider than its family',
      { ...AZURE, hosts: ['*.*.io'], registries: ['shopregistry'] },
      [
        'hosts.0: this is no host of acr: those are like *.azurecr.io, *.azurecr.cn, *.azurecr.us, *.azurecr.de',
      ],
    ],
    [
      'with "*" lists whose registries are meant',
      { ...AWS, hosts: ['*.dkr.ecr.*.amazonaws.com'] },
      ['hosts.0: "*" would speak of everybody\'s registries: list yours as registries (account ids)'],
    ],
    [
      'with "*" is right with that list',
      { ...AWS, hosts: ['*.dkr.ecr.*.amazonaws.com'], registries: ['111122223333'] },
      [],
    ],
    [
      'lets pods ask for tokens that it gives alone',
      { ...TEAM, inPod: ['token'], token: { inject: 'none' } },
      ['inPod: token.inject: none gives no pod a token'],
    ],
    [
      'lets pods ask for a docker config where it has Secrets alone',
      { ...TEAM, inPod: ['docker-config'], delivery: ['kubelet'] },
      ['inPod: docker-config mounts the Secret of delivery secret'],
    ],
    [
      'accepts vocabularies that mean its parameters alone',
      {
        ...AWS,
        parameters: {
          'role-arn': { from: 'annotation', accept: ['eks.amazonaws.com/*', 'azure.workload.identity/*'] },
        },
      },
      [
        'parameters.role-arn.accept.1: no annotation of azure.workload.identity/* is known to mean role-arn: name it whole',
      ],
    ],
    [
      'lists registries as its family names them, and sees a digit that is missing',
      { ...AWS, hosts: ['*.dkr.ecr.*.amazonaws.com'], registries: ['111122223333', '11112222333'] },
      ["registries.1: this is none of ecr's account ids"],
    ],
    [
      'that lists registries names no host of another one',
      { ...AWS, hosts: ['111122223333.dkr.ecr.eu-west-1.amazonaws.com'], registries: ['444455556666'] },
      ['hosts.0: its registry is not among the registries of this rule'],
    ],
    [
      'with "*" needs no list where hosts name no owner',
      {
        name: 'google',
        hosts: ['*.pkg.dev', '*.gcr.io'],
        audience: 'google.team.example',
        exchange: { kind: 'google' },
        parameters: { 'workload-identity-provider': { from: 'annotation' } },
      },
      [],
    ],
    [
      'lists no registries where hosts name no owner',
      { ...TEAM, registries: ['shop'] },
      ['registries: hosts of pass-through name no registry that could be listed'],
    ],
    [
      'names its hosts whole where the token goes to them',
      { ...TEAM, hosts: ['*.team.example'] },
      ['hosts.0: pass-through hands the token to the host: name it whole, without "*"'],
    ],
    [
      'names its hosts whole where they say where the token goes',
      { ...QUAY, hosts: ['quay.io', '*.quay.example'] },
      ['hosts.1: quay sends the token to where the host says: name it whole, without "*"'],
    ],
    [
      'cannot speak of a registry that takes no tokens',
      { ...TEAM, hosts: ['ghcr.io', 'registry.team.example'] },
      [
        'hosts.0: ghcr.io takes personal access tokens and the GITHUB_TOKEN of a workflow only: pull through a cache in a registry that can (ECR and Artifact Registry have one), or keep a static pull secret here',
      ],
    ],
    [
      'replaces endpoints that its family calls',
      {
        ...AZURE,
        exchange: { kind: 'acr', endpoints: { login: 'https://a.example', sts: 'https://b.example' } },
      },
      ['exchange.endpoints.sts: acr has the endpoints login, registry'],
    ],
    [
      'replaces nothing where nothing is called',
      {
        ...TEAM,
        exchange: {
          kind: 'pass-through',
          endpoint: 'https://a.example',
          endpoints: { token: 'https://b.example' },
          certificateAuthorityFile: '/ca.pem',
        },
      },
      [
        'exchange.endpoint: pass-through calls no endpoint',
        'exchange.endpoints: pass-through calls no endpoint',
        'exchange.certificateAuthorityFile: pass-through calls no endpoint',
      ],
    ],
    [
      'says where the token service is, if there is no public one',
      { ...STS, exchange: { kind: 'token-exchange' } },
      ['exchange.endpoint: is required: token-exchange has no public token service'],
    ],
    [
      'may say so by name',
      { ...STS, exchange: { kind: 'token-exchange', endpoints: { token: 'https://sts.team.example' } } },
      [],
    ],
    [
      'for the kubelet may mean accounts and the names of namespaces',
      {
        ...TEAM,
        delivery: ['secret', 'kubelet'],
        subjects: [
          {
            namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'shop' } },
            serviceAccounts: ['web'],
          },
        ],
      },
      [],
    ],
    [
      'for the kubelet cannot mean other labels of namespaces',
      {
        ...TEAM,
        delivery: ['kubelet'],
        subjects: [
          { serviceAccounts: ['web'] },
          { namespaceSelector: { matchExpressions: [{ key: 'tier', operator: 'Exists' }] } },
        ],
      },
      [
        'subjects.1.namespaceSelector: with delivery kubelet, select namespaces by kubernetes.io/metadata.name alone: on a node nobody knows their other labels',
      ],
    ],
    [
      'for the kubelet needs a token there',
      { ...TEAM, delivery: ['kubelet'], token: { inject: 'none' } },
      ['token.inject: delivery kubelet needs the token volume, or audienceRights: rbac'],
    ],
    [
      'of a kind that nobody knows is left to the schema',
      { ...TEAM, exchange: { kind: 'magic' }, registries: ['x'] },
      [],
    ],
    [
      'of a kind that every object knows is left to the schema',
      { ...TEAM, exchange: { kind: 'constructor' } },
      [],
    ],
  ])('%s', ([, rule, faults]) => {
    expect(faultsOf(rule)).toEqual(faults);
  });
});

describe('what is no config at all', () => {
  test.for([
    undefined,
    null,
    5,
    'text',
    [],
    {},
    { rules: 5 },
    { rules: [null, 5, 'text', [], {}] },
    { rules: [{ name: 5, hosts: 'x', exchange: null, parameters: [], delivery: {}, token: 5 }] },
    { rules: [{ ...TEAM, hosts: [5, null], acceptAudiences: [5], exchange: { kind: 5, endpoints: 5 } }] },
    { rules: [{ ...AWS, hosts: [], parameters: { 'role-arn': null } }] },
    { rules: [{ ...AWS, hosts: [], parameters: { 'role-arn': { from: 5, value: 5 } } }] },
    { worker: { heal: 5 } },
  ])('has faults of the schema, and none is added to them: %j', (raw) => {
    expect(crossFaults(raw, families)).toEqual([]);
  });
});
