// The config file: every fault at once, each with its line and a sentence that a person can act on.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { loadConfig, parseConfig, readEnvironment } from '../src/config.ts';
import { errnoText } from '../src/text-file.ts';
import { Problem } from '../src/problem.ts';

const MINIMAL = `
apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: team-registry
    hosts: [registry.team.example]
    audience: https://registry.team.example
    exchange: { kind: pass-through }
`;

/** The example of the documentation, which shows every part, built or not. */
const EXAMPLE = `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: team-registry                       # DNS label
    hosts: [registry.team.example:5000]       # whole labels; "*" stands for one label; longest match wins
    audience: https://registry.team.example   # exactly one; acceptAudiences: [...] for migration
    exchange: { kind: pass-through }          # the token itself is the password
    delivery: [secret]                        # secret, kubelet, or both while moving
    token: { inject: auto, expirationSeconds: 3600 }   # auto: a volume where delivery has kubelet, or a pod asks; none; volume; mount
    whenPending: gate                         # gate, or admit
    whenRefused: admit                        # admit with a warning, or deny (from what the keeper remembers)
    inPod: []                                 # token, docker-config: what pods may ask to have mounted
    prewarm: false                            # literal hosts only: credentials for annotated accounts before any pod asks
    secretName: computed                      # or annotation
    subjects: [{ namespaceSelector: { matchLabels: { tier: prod } }, serviceAccounts: ["*"] }]   # absent: every opted-in pod
  - name: ecr
    hosts: ["*.dkr.ecr.*.amazonaws.com"]
    registries: ["111122223333"]              # a wildcard cloud host needs its allow-list: account ids, registry names, projects
    audience: keyless-pull.team.example       # a dedicated audience, not the cloud's ambient one: doctor says why
    exchange: { kind: ecr }
    parameters: { role-arn: { from: annotation, accept: [eks.amazonaws.com/ecr-role-arn] } }   # or from: rule, value: ...
policy:
  defaultMode: "off"
  inherited: finding                          # secrets copied from the ServiceAccount: finding, or allowed
  exemptions: [{ namespace: legacy-*, serviceAccount: builder, secret: nexus-*, until: 2027-03-31, reason: "moves in Q1" }]
worker: { gateSeconds: 30, unusedHours: 72, heal: report, needsPerAccount: 16, needsPerPod: 8, ratePerEndpoint: 10, burst: 50 }
fences: required                              # readiness fails when a fence is missing; optional only for trials
`;

/** The faults of a text, without the file's name; empty when it is taken. */
function faultsOf(text: string): readonly string[] {
  try {
    parseConfig(text, 'keyless-pull.yaml');
    return [];
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    expect(error.code).toBe('config-invalid');
    return (error.details.faults ?? []).map((fault) => fault.replace(/^keyless-pull\.yaml:/, ''));
  }
}

/** The faults of the minimal config with one rule line replaced or added, without their lines. */
function faultsWith(...lines: string[]): readonly string[] {
  const keys = lines.map((line) => line.split(':')[0] ?? '');
  const kept = MINIMAL.split('\n').filter((line) => !keys.some((key) => line.startsWith(`    ${key}:`)));
  const text = `${kept.join('\n').trimEnd()}\n${lines.map((line) => `    ${line}`).join('\n')}\n`;
  return faultsOf(text).map((fault) => fault.replace(/^\d+: /, ''));
}

describe('a config', () => {
  test('that says only what it must has every default', () => {
    expect(parseConfig(MINIMAL, 'x')).toMatchObject({
      apiVersion: 'keyless-pull.dev/v1',
      kind: 'Config',
      rules: [
        {
          name: 'team-registry',
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
        },
      ],
      policy: { defaultMode: 'off', inherited: 'finding', exemptions: [] },
      worker: {
        gateSeconds: 30,
        unusedHours: 72,
        heal: 'report',
        needsPerAccount: 16,
        needsPerPod: 8,
        ratePerEndpoint: 10,
        burst: 50,
      },
      fences: 'required',
    });
  });

  test('like the example of the documentation is taken', () => {
    const config = parseConfig(EXAMPLE, 'x');

    expect(config.rules.map(({ name, exchange }) => [name, exchange.kind])).toEqual([
      ['team-registry', 'pass-through'],
      ['ecr', 'ecr'],
    ]);
    expect(config.policy.exemptions[0]?.until).toBe('2027-03-31');
  });

  test('with many faults is told all of them at once, each with its line, in the order of the file', () => {
    const text = `apiVersion: keyless-pull.dev/v2
kind: Config
extra: true
rules:
  - name: Team
    hosts:
      - registry.team.example
      - https://other.example
    exchange: { kind: pass-through, usrname: bob }
    token:
      expirationSeconds: 60
      inject: sometimes
    delivery: secret
  - name: second
    hosts: ["*.second.example"]
    audience: shared
    exchange: { kind: pass-through }
    prewarm: "yes"
  - name: second
    hosts: [registry.team.example]
    audience: shared
    exchange: { kind: ecr }
    hosts: [third.example]
    whenPending:
policy:
  exemptions:
    - { namespace: legacy-*, until: 2027-02-30 }
worker:
  heal: evict
  gateSeconds: 9.5
  burst: many
`;

    expect(faultsOf(text)).toEqual([
      '1: apiVersion: must be keyless-pull.dev/v1',
      '3: extra: is not a known key',
      '5: rules[0].name: a rule name is a DNS label: lower case letters, digits and "-", 63 at most',
      '5: rules[0].audience: is required',
      '8: rules[0].hosts[1]: write a host in lower case, whole labels, "*" for one label, with ":port" if images name it; no scheme, no path',
      '9: rules[0].exchange.usrname: is not a known key',
      '11: rules[0].token.expirationSeconds: must be at least 600',
      '12: rules[0].token.inject: must be one of auto, none, volume, mount',
      '13: rules[0].delivery: must be a list, not text',
      '15: rules[1].hosts[0]: pass-through hands the token to the host: name it whole, without "*"',
      '16: rules[1].audience: rule second uses the same audience: a registry that is given the token itself could replay it there',
      '18: rules[1].prewarm: must be true or false, not text',
      '19: rules[2].name: another rule is called second',
      '19: rules[2].parameters: ecr needs role-arn: say { from: annotation } or { from: rule, value: … }',
      '20: rules[2].hosts[0]: this is no host of ecr: those are like *.dkr.ecr.*.amazonaws.com, *.dkr.ecr-fips.*.amazonaws.com, *.dkr-ecr.*.on.aws, *.dkr-ecr-fips.*.on.aws',
      '21: rules[2].audience: rule second uses the same audience: a registry that is given the token itself could replay it there',
      '23: another key of this map has the same name',
      '24: rules[2].whenPending: must be one of gate, admit',
      '27: policy.exemptions[0].until: write the day as YYYY-MM-DD, in quotes or plain',
      '27: policy.exemptions[0].reason: is required',
      '30: worker.gateSeconds: must be a whole number, not a fraction',
      '31: worker.burst: must be a number, not text',
    ]);
  });

  test.for([
    ['is empty', '', '1: the file is empty'],
    ['has only comments', '# rules go here\n', '1: the file is empty'],
    ['is a list', '- a\n', '1: must be a map of keys and values, not a list'],
    ['is text', 'hello\n', '1: must be a map of keys and values, not text'],
    ['has an open bracket', 'a: 1\nb: [1, 2\nc: 3\n', '3: this is no YAML'],
    ['has a tab where spaces belong', 'a:\n\tb: 1\n', '2: this is no YAML'],
    [
      'holds two documents',
      `${MINIMAL.trim()}\n---\na: 1\n`,
      '8: a second document begins here: one file holds one',
    ],
    ['names an anchor that is not there', 'a: *nobody\n', '1: an alias (*name) in this file names no anchor'],
    [
      'grows without end',
      bomb(),
      '1: an alias (*name) in this file names no anchor, or too many follow one another',
    ],
    ['is nested without end', '['.repeat(20_000), '1: this is no YAML'],
  ] as const)('that %s is refused in a sentence', ([, text, fault]) => {
    expect(faultsOf(text)[0]?.startsWith(fault)).toBe(true);
  });

  test('that says a key twice is refused where it is said again', () => {
    expect(faultsOf(`${MINIMAL}fences: optional\nfences: required\n`)).toEqual([
      '10: another key of this map has the same name',
    ]);
  });

  test.for([
    ['at the top', `${MINIMAL}__proto__: { fences: optional }\n`, '9: __proto__: is not a known key'],
    [
      'in a rule',
      MINIMAL.replace('    audience', '    __proto__: { prewarm: true }\n    audience'),
      '7: rules[0].__proto__: is not a known key',
    ],
    [
      'in an exchange',
      MINIMAL.replace('kind: pass', '"__proto__": {}, kind: pass'),
      '8: rules[0].exchange.__proto__: is not a known key',
    ],
    [
      'by another way',
      `${MINIMAL}constructor: { prototype: { a: 1 } }\n`,
      '9: constructor: is not a known key',
    ],
    ['by a merge key', `${MINIMAL}<<: { fences: optional }\n`, '9: <<: is not a known key'],
  ] as const)('cannot smuggle in a prototype: %s', ([, text, fault]) => {
    expect(faultsOf(text)).toEqual([fault]);
    expect(({} as Record<string, unknown>)['a']).toBeUndefined();
  });

  test('may use anchors of its own', () => {
    const text =
      MINIMAL.replace('[registry.team.example]', '&hosts [registry.team.example]') +
      'policy: &off { defaultMode: "off" }\n';

    expect(faultsOf(text)).toEqual([]);
  });
});

describe('a rule of the config', () => {
  test.for([
    ['audience: ""', 'rules[0].audience: an empty audience would mint a token for the API server itself'],
    ['audience:', 'rules[0].audience: must be text (put it in quotes), not empty'],
    ['audience: 5', 'rules[0].audience: must be text (put it in quotes), not a number'],
    ['audience: true', 'rules[0].audience: must be text (put it in quotes), not true'],
    ['audience: [a, b]', 'rules[0].audience: must be text (put it in quotes), not a list'],
    ['hosts: []', 'rules[0].hosts: needs at least one entry'],
    ['hosts: [registry.team.example, 5]', 'rules[0].hosts[1]: must be text (put it in quotes), not a number'],
    [
      'hosts: ["*.team.example"]',
      'rules[0].hosts[0]: pass-through hands the token to the host: name it whole, without "*"',
    ],
    [
      'hosts: [registry]',
      'rules[0].hosts[0]: images cannot name this host: without a dot or a port it is a folder on docker.io',
    ],
    [
      'hosts: [index.docker.io]',
      'rules[0].hosts[0]: write docker.io: that is how images of either name are read',
    ],
    ['hosts: registry.team.example', 'rules[0].hosts: must be a list, not text'],
    ['exchange: pass-through', 'rules[0].exchange: must be a map of keys and values, not text'],
    ['exchange: {}', 'rules[0].exchange.kind: is required'],
    ['exchange: { kind: magic }', 'rules[0].exchange.kind: must be one of pass-through, token-realm, ecr, '],
    [
      'exchange: { kind: pass-through, endpoint: "https://a.example" }',
      'rules[0].exchange.endpoint: pass-through calls no endpoint',
    ],
    [
      'exchange: { kind: pass-through, username: "a:b" }',
      'rules[0].exchange.username: a username has no colon',
    ],
    ['token: { expirationSeconds: 4000 }', 'rules[0].token.expirationSeconds: must be at most 3600'],
    ['token: { expirationSeconds: 1h }', 'rules[0].token.expirationSeconds: must be a number, not text'],
    ['delivery: []', 'rules[0].delivery: needs at least one entry'],
    ['subjects: [{ serviceAccounts: [""] }]', 'rules[0].subjects[0].serviceAccounts[0]: must not be empty'],
    [
      'delivery: [kubelet]\n    token: { inject: none }',
      'rules[0].token.inject: delivery kubelet needs the token volume',
    ],
    ['registries: [a]', 'rules[0].registries: hosts of pass-through name no registry that could be listed'],
    [
      'parameters: { role-arn: { from: annotation } }',
      'rules[0].parameters.role-arn: pass-through has no parameters',
    ],
    ['exchange: { kind: harbor }', 'rules[0].exchange.kind: upstream Harbor takes robot secrets only'],
    ['hosts: [docker.io]', 'rules[0].hosts[0]: Docker Hub takes OIDC tokens of GitHub alone'],
  ] as const)('with %s is refused: %s', ([line, fault]) => {
    const faults = faultsWith(line);

    expect(faults.length).toBe(1);
    expect(faults[0]?.startsWith(fault)).toBe(true);
  });

  test('with a bad parameter name is told what a good one is', () => {
    expect(faultsWith('parameters: { Role_ARN: { from: annotation } }')).toContain(
      'rules[0].parameters.Role_ARN: a parameter name is a DNS label',
    );
  });

  test('for the kubelet needs the token volume, or rights by RBAC', () => {
    const fault = 'rules[0].token.inject: delivery kubelet needs the token volume, or audienceRights: rbac';

    expect(faultsWith('delivery: [kubelet]', 'token: { inject: none }')).toContain(fault);
    expect(
      faultsWith('delivery: [kubelet]', 'token: { inject: none }', 'audienceRights: rbac'),
    ).not.toContain(fault);
    expect(faultsWith('delivery: [kubelet]', 'token: { inject: auto }')).not.toContain(fault);
  });

  test('shares neither name, host nor audience with another', () => {
    const second = MINIMAL.split('\n').slice(4).join('\n');

    expect(faultsOf(MINIMAL.trimEnd() + '\n' + second)).toEqual([
      '7: rules[0].audience: rule team-registry uses the same audience: a registry that is given the token itself could replay it there',
      '9: rules[1].name: another rule is called team-registry',
      '10: rules[1].hosts[0]: rule team-registry has the same host',
      '11: rules[1].audience: rule team-registry uses the same audience: a registry that is given the token itself could replay it there',
    ]);
  });

  test('is never quoted back: what stands in the wrong place may be a password', () => {
    const faults = faultsWith(
      'prewarm: hunter2hunter2',
      'exchange: hunter2hunter2',
      'whenPending: hunter2hunter2',
    );

    expect(faults.length).toBe(3);
    expect(faults.join()).not.toContain('hunter2');
  });
});

describe('a config file', () => {
  test('is read from disk, and its faults carry its path', () => {
    const folder = mkdtempSync(join(tmpdir(), 'keyless-pull-config-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'config.yaml');
    writeFileSync(path, MINIMAL);

    const config = loadConfig(path);

    writeFileSync(path, 'kind: Other\n');
    expect(config.kind).toBe('Config');
    expect(() => loadConfig(path)).toThrow(
      expect.objectContaining({
        code: 'config-invalid',
        message: `${path} has 3 faults`,
        details: { faults: expect.arrayContaining([`${path}:1: kind: must be Config`]) },
      }),
    );
  });

  test('that is not there is named in one sentence', () => {
    expect(() => loadConfig('/nowhere/config.yaml')).toThrow(
      expect.objectContaining({
        code: 'file-unreadable',
        message: 'cannot read /nowhere/config.yaml: there is no such file',
      }),
    );
  });

  test('that is a folder is named in one sentence', () => {
    expect(() => loadConfig(tmpdir())).toThrow(
      expect.objectContaining({
        code: 'file-unreadable',
        message: `cannot read ${tmpdir()}: it is a folder`,
      }),
    );
  });
});

test.for([
  ['ENOENT', 'there is no such file'],
  ['EACCES', 'permission denied'],
  ['EISDIR', 'it is a folder'],
  ['EADDRINUSE', 'another program listens there'],
  ['EMFILE', 'EMFILE'],
  [undefined, 'unknown error'],
  [5, 'unknown error'],
] as const)('a system error %s is put as "%s", and never in its own words', ([code, sentence]) => {
  expect(errnoText(Object.assign(new Error('open /path/with/a/marked-secret'), { code }))).toBe(sentence);
});

test('the environment says what only the pod can know, and nothing else is read from it', () => {
  const environment = {
    KEYLESS_PULL_NAMESPACE: 'ns',
    KEYLESS_PULL_POD_NAME: 'pod-1',
    KEYLESS_PULL_LOG_LEVEL: 'debug',
    NO_COLOR: '1',
    HTTPS_PROXY: 'http://proxy.example:3128',
    KUBECONFIG: 'a:b',
    HOME: '/root',
  };

  expect(readEnvironment(environment)).toEqual({
    namespace: 'ns',
    podName: 'pod-1',
    logLevel: 'debug',
    noColor: true,
    kubeconfig: 'a:b',
    proxy: { HTTPS_PROXY: 'http://proxy.example:3128' },
  });
  expect(readEnvironment({})).toEqual({
    namespace: undefined,
    podName: undefined,
    logLevel: undefined,
    noColor: false,
    proxy: {},
  });
  expect(readEnvironment({ NO_COLOR: '' }).noColor).toBe(false);
});

function bomb(): string {
  const levels = ['a', 'b', 'c', 'd', 'e'].map((name, at, all) => {
    const entry = at === 0 ? 'x' : `*${all[at - 1]}`;
    return `${name}: &${name} [${Array.from({ length: 10 }, () => entry).join(', ')}]`;
  });
  return levels.join('\n');
}
