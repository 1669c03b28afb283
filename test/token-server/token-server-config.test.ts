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

const TWO_ISSUERS = SMALLEST.replace(
  'access:',
  '  - { issuer: https://two.example, audience: https://registry.two.example }\naccess:',
);

const REVIEW = `    check: tokenReview
    tokenReview: { server: 'https://api.example:6443', bearerFile: token }`;

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

  test('may have several issuers, when every access rule names its own', () => {
    const text = TWO_ISSUERS.replace('- namespaces', '- issuer: https://two.example\n    namespaces');

    const config = parseTokenServerConfig(text, 'config.yaml');

    expect(config.issuers.map(({ issuer, audience }) => [issuer, audience])).toEqual([
      ['https://kubernetes.example', 'https://registry.team.example'],
      ['https://two.example', 'https://registry.two.example'],
    ]);
  });

  test('takes several signing keys, a header for registries with a jwks file, claims, and tokenReview', () => {
    const text = SMALLEST.replace(
      '  keys: [{ keyFile: key.pem, certificateFile: chain.pem }]',
      '  keys: [{ keyFile: a, certificateFile: b }, { keyFile: c, certificateFile: d }]\n  header: kid',
    )
      .replace('    audience:', `${REVIEW}\n    audience:`)
      .replace('    actions:', '    claims: { kubernetes.io/node/name: ["pool-*"] }\n    actions:');

    const config = parseTokenServerConfig(text, 'config.yaml');

    expect(config.signing).toMatchObject({ keys: [{ keyFile: 'a' }, { keyFile: 'c' }], header: 'kid' });
    expect(config.access[0]?.claims).toEqual({ 'kubernetes.io/node/name': ['pool-*'] });
    expect(config.issuers[0]).toMatchObject({
      check: 'tokenReview',
      tokenReview: { server: 'https://api.example:6443', bearerFile: 'token' },
    });
  });

  test.for<[string, string, RegExp]>([
    [
      'a rule without an issuer where there are several',
      TWO_ISSUERS,
      /^config\.yaml:11: access\[0\]\.issuer: is required where there are several issuers/,
    ],
    [
      'an issuer that stands there twice',
      TWO_ISSUERS.replace('https://two.example', 'https://kubernetes.example').replace('["team-*"]', '["x"]'),
      /^config\.yaml:9: issuers\[1\]\.issuer: this issuer stands above already; .* --service-account-issuer$/,
    ],
    [
      'tokenReview that nobody asks for',
      SMALLEST.replace(
        '    audience:',
        `${REVIEW.replace('check: tokenReview', 'check: keys')}\n    audience:`,
      ),
      /^config\.yaml:9: issuers\[0\]\.tokenReview: means nothing with check: keys$/,
    ],
    [
      'fields for keys with tokenReview',
      SMALLEST.replace('    audience:', `${REVIEW}\n    bearerFile: x\n    audience:`),
      /^config\.yaml:10: issuers\[0\]\.bearerFile: means nothing with check: tokenReview, see tokenReview$/,
    ],
    [
      'an API server without https',
      SMALLEST.replace('    audience:', `${REVIEW.replace('https:', 'http:')}\n    audience:`),
      /^config\.yaml:9: issuers\[0\]\.tokenReview\.server: write an https URL/,
    ],
    [
      "an API server to which the pod's own token would go",
      SMALLEST.replace('    audience:', `${REVIEW.replace(', bearerFile: token', '')}\n    audience:`),
      /^config\.yaml:9: issuers\[0\]\.tokenReview\.bearerFile: is required$/,
    ],
    [
      'a claim without a name',
      SMALLEST.replace('    actions:', '    claims: { "kubernetes.io//name": [x] }\n    actions:'),
      /access\[0\]\.claims\.kubernetes\.io\/\/name: a claim is names joined by "\/"/,
    ],
    [
      'a claim for which no value will do',
      SMALLEST.replace('    actions:', '    claims: { sub: [] }\n    actions:'),
      /access\[0\]\.claims\.sub: /,
    ],
    [
      'a header that no registry knows',
      SMALLEST.replace('signing:', 'signing:\n  header: jwk'),
      /^config\.yaml:5: signing\.header: must be one of x5c, kid$/,
    ],
  ])('refuses %s', ([, text, fault]) => {
    const faults = faultsOf(text);

    expect(faults.filter((one) => fault.test(one))).toHaveLength(1);
  });

  test('refuses two issuers that are both the cluster it runs in', () => {
    const here = (name: string) =>
      `  - { issuer: https://${name}.example, audience: x, check: tokenReview }\n`;
    const text = SMALLEST.replace('access:', `${here('two')}${here('three')}access:`);

    const faults = faultsOf(text.replace('- namespaces', '- issuer: https://two.example\n    namespaces'));

    expect(faults).toEqual([
      'config.yaml:10: issuers[2].check: two issuers cannot both be the cluster this runs in: say with tokenReview where to ask',
    ]);
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
