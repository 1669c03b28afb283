// Which rule speaks of which registry host: whole labels, the same port, and no trick with what comes after the name.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  HostPattern,
  hostMatches,
  ruleForHost,
  ruleSpeaksOf,
  type RegistryRule,
} from '../../src/core/registry-rule.ts';
import { aRule } from './builders.ts';

const ECR = '*.dkr.ecr.*.amazonaws.com';

/** Pattern, host as an image names it, and whether the one speaks of the other. */
const hosts: [pattern: string, host: string, matches: boolean][] = [
  ['registry.team.example', 'registry.team.example', true],
  ['registry.team.example', 'team.example', false],
  ['registry.team.example', 'example', false],
  ['registry.team.example', 'a.registry.team.example', false],
  ['registry.team.example', 'registry.team.example.evil.com', false],
  ['registry.team.example', 'registry.team.exampleevil.com', false],
  ['registry.team.example', 'evil-registry.team.example', false],
  ['registry.team.example', 'registry-team.example', false],
  ['registry.team.example', 'registryXteam.example', false],
  ['registry.team.example', 'registry.team.example.', false],
  ['registry.team.example', '.registry.team.example', false],
  ['registry.team.example', 'registry..team.example', false],
  ['registry.team.example', 'registry.team.exampl', false],
  ['registry.team.example', 'Registry.Team.Example', false],
  ['registry.team.example', 'registry.team.example:443', false],
  ['registry.team.example', 'registry.team.example:80', false],
  ['registry.team.example', 'registry.team.example:', true],
  ['registry.team.example', '', false],
  ['registry.team.example', '.', false],
  ['registry.team.example', 'xn--registry.team.example', false],
  ['registry.team.example', 'registry.team.xn--example', false],
  ['registry.team.example:5000', 'registry.team.example:5000', true],
  ['registry.team.example:5000', 'registry.team.example', false],
  ['registry.team.example:5000', 'registry.team.example:5001', false],
  ['registry.team.example:5000', 'registry.team.example:50000', false],
  ['registry.team.example:5000', 'registry.team.example:500', false],
  ['registry.team.example:5000', 'registry.team.example:05000', false],
  ['registry.team.example:5000', 'registry.team.example.evil.com:5000', false],
  ['registry.team.example:5000', 'registry.team.example:5000.evil.com', false],
  ['registry.team.example:443', 'registry.team.example', false],
  ['localhost', 'localhost', true],
  ['localhost', 'localhost:5000', false],
  ['localhost', 'localhost.evil.com', false],
  ['localhost:5000', 'localhost:5000', true],
  ['docker.io', 'docker.io', true],
  ['docker.io', 'index.docker.io', false],
  ['docker.io', 'registry-1.docker.io', false],
  ['10.0.0.1', '10.0.0.1', true],
  ['10.0.0.1', '10.0.0.10', false],
  ['10.0.0.1', '110.0.0.1', false],
  ['10.0.0.1:5000', '10.0.0.1:5000', true],
  ['10.0.0.1', '0xa.0.0.1', false],
  ['10.0.0.1', '167772161', false],
  ['10.0.0.1', '[::ffff:10.0.0.1]', false],
  ['*.team.example', '[2001:db8::1]', false],
  ['*.team.example', '[2001:db8::1]:5000', false],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example', true],
  ['xn--bcher-kva.example', 'bücher.example', false],
  ['*.team.example', 'registry.team.example', true],
  ['*.team.example', 'xn--bcher-kva.team.example', true],
  ['*.team.example', 'team.example', false],
  ['*.team.example', '.team.example', false],
  ['*.team.example', 'a.b.team.example', false],
  ['*.team.example', 'evil.com.team.example', false],
  ['*.team.example', 'registry.team.example.evil.com', false],
  ['*.team.example', 'registry.team.example:5000', false],
  ['*.team.example', '*.team.example', true],
  ['*.team.example:5000', 'registry.team.example:5000', true],
  ['*.team.example:5000', 'registry.team.example', false],
  ['registry.*.example', 'registry.team.example', true],
  ['registry.*.example', 'registry.a.b.example', false],
  ['registry.*.example', 'registry..example', false],
  ['registry.team.*', 'registry.team.example', true],
  ['registry.team.*', 'registry.team.', false],
  ['registry.team.*', 'registry.team.example.evil.com', false],
  ['*.*.example', 'registry.team.example', true],
  ['*.*.example', 'team.example', false],
  ['*.azurecr.io', 'myregistry.azurecr.io', true],
  ['*.azurecr.io', 'myregistry.westeurope.azurecr.io', false],
  ['*.azurecr.io', 'myregistry.azurecr.io.evil.com', false],
  ['*.azurecr.io', 'azurecr.io', false],
  [ECR, '111122223333.dkr.ecr.eu-central-1.amazonaws.com', true],
  [ECR, '111122223333.dkr.ecr.amazonaws.com', false],
  [ECR, '111122223333.dkr.ecr.eu-central-1.amazonaws.com.cn', false],
  [ECR, '111122223333.dkr.ecr.eu-central-1.amazonaws.com.evil.com', false],
  [ECR, '111122223333.dkr.ecr-fips.us-east-1.amazonaws.com', false],
  [ECR, '111122223333.dkr.ecr.us-east-1.example.net', false],
  [ECR, 'dkr.ecr.us-east-1.amazonaws.com', false],
  ['*-docker.pkg.dev', 'europe-docker.pkg.dev', false],
  ['*.*', 'ghcr.io', true],
  ['*.*.*.*', '10.0.0.1', true],
];

describe('a host pattern', () => {
  test.for(hosts)('%s and host %s: %s', ([pattern, host, matches]) => {
    expect(hostMatches(pattern, host)).toBe(matches);
  });

  test('never speaks of a longer name that merely contains what it says', () => {
    const labels = fc.array(fc.stringMatching(/^[a-z0-9]{1,5}$/), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(fc.constantFrom(...hosts.map(([pattern]) => pattern)), labels, (pattern, extra) => {
        const [name = '', port] = pattern.split(':');
        const tail = port === undefined ? '' : `:${port}`;

        expect(hostMatches(pattern, `${name}.${extra.join('.')}${tail}`)).toBe(false);
        expect(hostMatches(pattern, `${extra.join('.')}.${name}${tail}`)).toBe(false);
      }),
    );
  });

  test.for([
    ['registry.team.example', true],
    ['registry.team.example:5000', true],
    ['*.dkr.ecr.*.amazonaws.com', true],
    ['localhost', true],
    ['localhost:5000', true],
    ['registry:5000', true],
    ['10.0.0.1', true],
    ['xn--bcher-kva.example', true],
    ['docker.io', true],
    ['', false],
    ['Registry.Team.Example', false],
    ['https://registry.team.example', false],
    ['registry.team.example/team', false],
    ['registry.team.example/', false],
    ['registry.team.example.', false],
    ['.team.example', false],
    ['registry..example', false],
    ['registry.team.example:', false],
    ['registry.team.example:port', false],
    ['registry.team.example:500000', false],
    ['regi*.team.example', false],
    ['**.team.example', false],
    ['registry.team.example:*', false],
    ['-registry.team.example', false],
    ['registry-.team.example', false],
    ['bücher.example', false],
    [' registry.team.example', false],
    ['registry.team.example\n', false],
    ['registry', false],
    ['*', false],
    ['index.docker.io', false],
  ] as const)('%j is taken into a config: %s', ([pattern, isTaken]) => {
    expect(HostPattern.safeParse(pattern).success).toBe(isTaken);
  });
});

describe('of several rules that speak of a host', () => {
  const always = () => true;
  const named = (name: string, ...patterns: string[]) => aRule({ name, hosts: patterns });

  test.for<[why: string, rules: RegistryRule[], host: string, winner: string | undefined]>([
    [
      'the literal one wins over a wildcard',
      [named('wild', '*.team.example'), named('whole', 'a.team.example')],
      'a.team.example',
      'whole',
    ],
    [
      'the order does not matter for that',
      [named('whole', 'a.team.example'), named('wild', '*.team.example')],
      'a.team.example',
      'whole',
    ],
    [
      'one wildcard wins over two',
      [named('two', '*.*.example'), named('one', '*.team.example')],
      'a.team.example',
      'one',
    ],
    [
      'fewer wildcards win over more letters',
      [named('long', '*.*.abcdefghijklm'), named('short', 'a.*.abcdefghijklm')],
      'a.b.abcdefghijklm',
      'short',
    ],
    [
      'with as many wildcards the longer pattern wins',
      [named('short', 'a.*.c'), named('long', '*.bbbb.c')],
      'a.bbbb.c',
      'long',
    ],
    [
      'otherwise the first of the file wins',
      [named('first', '*.bb.c'), named('second', 'aa.*.c')],
      'aa.bb.c',
      'first',
    ],
    [
      'a rule may say several hosts',
      [named('many', 'x.example', '*.team.example'), named('other', 'y.example')],
      'a.team.example',
      'many',
    ],
    [
      'each host of a rule counts for itself',
      [named('a', '*.team.example', 'b.team.example'), named('b', 'a.team.example')],
      'a.team.example',
      'b',
    ],
    [
      'the port decides',
      [named('plain', 'a.example'), named('port', 'a.example:5000')],
      'a.example:5000',
      'port',
    ],
    ['none may', [named('a', 'a.example')], 'b.example', undefined],
    ['there are none', [], 'a.example', undefined],
    [
      'upper case in an image is another host to the kubelet, which compares letter by letter',
      [named('a', 'a.example')],
      'A.Example',
      undefined,
    ],
  ])('%s', ([, rules, host, winner]) => {
    expect(ruleForHost(rules, host, always)?.name).toBe(winner);
  });

  test('one that is not for this account leaves the host to the next best', () => {
    const rules = [
      named('wild', '*.team.example'),
      named('whole', 'a.team.example'),
      named('wilder', '*.*.example'),
    ];

    const rule = ruleForHost(rules, 'a.team.example', ({ name }) => name !== 'whole');

    expect(rule?.name).toBe('wild');
  });

  test('the winner is the same in whatever order they stand, unless they tie', () => {
    const rules = [
      named('a', 'a.team.example'),
      named('b', '*.team.example'),
      named('c', '*.*.example'),
      named('d', '*.*.*'),
    ];
    fc.assert(
      fc.property(fc.shuffledSubarray(rules, { minLength: 1 }), (some) => {
        const best = some.toSorted((one, other) => (one.name < other.name ? -1 : 1))[0];

        expect(ruleForHost(some, 'a.team.example', always)).toBe(best);
      }),
    );
  });
});

test('a rule without subjects is for every account of every opted-in namespace', () => {
  expect(ruleSpeaksOf(aRule(), 'anybody', {})).toBe(true);
});

test('a rule with subjects is for those that one of them names', () => {
  const prod = { namespaceSelector: { matchLabels: { tier: 'prod' } } };
  const rule = aRule({ subjects: [prod, { serviceAccounts: ['build-*'] }] });

  expect(ruleSpeaksOf(rule, 'web', { tier: 'prod' })).toBe(true);
  expect(ruleSpeaksOf(rule, 'build-7', {})).toBe(true);
  expect(ruleSpeaksOf(rule, 'web', {})).toBe(false);
});

test('a rule that says only what it must has the defaults of the documentation', () => {
  expect(aRule()).toMatchObject({
    name: 'team',
    hosts: ['registry.team.example'],
    audience: 'https://registry.team.example',
    exchange: { kind: 'pass-through' },
    delivery: ['secret'],
    audienceRights: 'volume',
    token: { inject: 'auto' },
    whenPending: 'gate',
    whenRefused: 'admit',
    inPod: [],
    prewarm: false,
    secretName: 'computed',
  });
});

test.for([
  ['an empty audience', { audience: '' }, /would mint a token for the API server itself/],
  ['the audience of the fence probe', { audience: 'keyless-pull.dev/fence-probe' }, /reserved/],
  ['an audience with a space', { audience: 'a b' }, /no spaces/],
  ['two audiences in one', { audience: 'a,b' }, /no commas/],
  [
    'a username with a colon, where auth would be split',
    { exchange: { kind: 'pass-through', username: 'a:b' } },
    /colon/,
  ],
  ['an endpoint without TLS', { exchange: { kind: 'ecr', endpoint: 'http://sts.example' } }, /https/],
  ['a token that lives too long', { token: { expirationSeconds: 3601 } }, /3600/],
  ['a token that the API server would not make', { token: { expirationSeconds: 599 } }, /600/],
  ['a rule name that is no DNS label', { name: 'Team_Registry' }, /DNS label/],
  ['a rule name of 64 characters', { name: 'a'.repeat(64) }, /DNS label/],
  ['no host at all', { hosts: [] }, /1/],
  ['an unknown key', { hots: [] }, /hots/],
] as const)('%s is refused', ([, change, message]) => {
  expect(() => aRule(change)).toThrow(message);
});
