// The config file: what it needs, and every fault at once.
import { describe, expect, test } from 'vitest';
import type { Problem } from '../../src/problem.ts';
import { loadTokenServerConfig, parseTokenServerConfig } from '../../src/token-server/token-server-config.ts';

const SMALLEST = `apiVersion: keyless-pull.dev/v1
kind: TokenServerConfig
registry: { service: registry.team.example, issuer: keyless-pull }
signing:
  keys: [{ keyFile: key.pem, certificateFile: chain.pem }]
issuers:
  - issuer: https://kubernetes.example
    audience: https://registry.team.example
access:
  - namespaces: ["team-*"]
    repositories: ["{namespace}/**"]
    actions: [pull]
`;

function faultsOf(text: string): readonly string[] {
  try {
    parseTokenServerConfig(text, 'config.yaml');
  } catch (error) {
    const { code, details } = error as Problem;
    expect(code).toBe('config-invalid');
    return details.faults ?? [];
  }
  throw new Error('it was accepted');
}

describe("the token server's configuration", () => {
  test('needs little, and the rest has defaults', () => {
    const config = parseTokenServerConfig(SMALLEST, 'config.yaml');

    expect(config.registry.tokenSeconds).toBe(300);
    expect(config.listen).toEqual({ port: 5001 });
    expect(config.anyUser).toBe(false);
    expect(config.issuers[0]).toMatchObject({ check: 'keys', keysHosts: [] });
    expect(config.access[0]).toMatchObject({ serviceAccounts: ['*'] });
  });

  test('that cannot be read is named', () => {
    expect(() => loadTokenServerConfig('/nowhere/config.yaml')).toThrow(
      'cannot read /nowhere/config.yaml: there is no such file',
    );
  });

  test('reports every fault at once, with line, path and a sentence', () => {
    const text = `apiVersion: keyless-pull.dev/v1
kind: TokenServerConfig
registry: { service: 'has "quotes"', issuer: keyless-pull, tokenSeconds: 30 }
signing:
  keys: [{ keyFile: key.pem, certificateFile: chain.pem }]
issuers:
  - issuer: http://kubernetes.example
    audience: ""
    keyHosts: []
access:
  - namespaces: ["Team"]
    repositories: ["{namespace}-x/**"]
    actions: ["*"]
  - issuer: https://elsewhere.example
    namespaces: []
    repositories: ["**"]
    actions: [pull]
`;

    const faults = faultsOf(text);

    expect(faults.map((fault) => fault.split(' ', 2).join(' '))).toEqual([
      'config.yaml:3: registry.service:',
      'config.yaml:3: registry.tokenSeconds:',
      'config.yaml:7: issuers[0].issuer:',
      'config.yaml:8: issuers[0].audience:',
      ...faults.slice(4, 5).map(() => 'config.yaml:8: issuers[0].audience:'),
      'config.yaml:9: issuers[0].keyHosts:',
      'config.yaml:11: access[0].namespaces[0]:',
      'config.yaml:12: access[0].repositories[0]:',
      'config.yaml:13: access[0].actions[0]:',
      'config.yaml:14: access[1].issuer:',
      'config.yaml:15: access[1].namespaces:',
    ]);
    expect(faults.join('\n')).toContain('clients take 60 seconds for the least that a token lives');
    expect(faults.join('\n')).toContain('an empty audience would accept tokens meant for anybody');
    expect(faults.join('\n')).toContain('an action is pull or push; "*" is never granted');
    expect(faults.join('\n')).toContain('no entry of issuers has this issuer');
  });

  test.for([
    [
      'more than one issuer',
      SMALLEST.replace('access:', '  - { issuer: https://two.example, audience: x }\naccess:'),
    ],
    ['check: tokenReview', SMALLEST.replace('    audience:', '    check: tokenReview\n    audience:')],
    ['more than one signing key', SMALLEST.replace(' }]', ' }, { keyFile: b, certificateFile: b }]')],
    ['claims', SMALLEST.replace('    actions:', '    claims: { kubernetes.io/pod: [x] }\n    actions:')],
  ] as const)('refuses by name what is not built yet: %s', ([what, text]) => {
    const faults = faultsOf(text);

    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain(`: ${what} is not built in this version`);
  });

  test.for([
    'https://kubernetes.example',
    'https://kubernetes.default.svc',
    'https://kubernetes.default.svc.cluster.local',
  ])("refuses the API server's own audience, %s: such a password would open the cluster", (audience) => {
    const faults = faultsOf(
      SMALLEST.replace('audience: https://registry.team.example', `audience: ${audience}`),
    );

    expect(faults).toHaveLength(1);
    expect(faults[0]).toContain("the API server's own audience");
  });

  test.for([
    'https://kubernetes.example/path/?x=1',
    'https://user@kubernetes.example',
    'https://kubernetes.example#x',
    'kubernetes.example',
    'https://',
    'https://kubernetes.example:99999',
  ])('refuses %s as an issuer', (issuer) => {
    expect(faultsOf(SMALLEST.replace('https://kubernetes.example', issuer))[0]).toContain(
      'issuers[0].issuer: ',
    );
  });
});
