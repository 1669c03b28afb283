// The whole of doctor, with a fake issuer and a strict registry: what it prints, how it ends, and what it never says.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { doctor, type DoctorOptions } from '../../src/cli/doctor.ts';
import { systemStepIds } from '../../src/cli/system/step.ts';
import { doctorFlags } from '../../src/cli/doctor/flags.ts';
import { checks } from '../../src/cli/doctor/run-checks.ts';
import { stepIds, type DoctorTools, type Step } from '../../src/cli/doctor/step.ts';
import { runProgram } from '../../src/cli/program.ts';
import type { DoctorCluster } from '../../src/cli/doctor/doctor-cluster.ts';
import { Problem } from '../../src/problem.ts';
import { createHttpCall } from '../../src/registry/http-call.ts';
import { SecretText } from '../../src/secret-text.ts';
import { createFakeIssuer } from '../fakes/fake-issuer.ts';
import { createHandClock } from '../fakes/hand-clock.ts';
import { createTokenRealmDouble } from '../fakes/token-realm-double.ts';

const SUBJECT = 'system:serviceaccount:shop:web';
const ACCOUNT = {
  namespace: 'shop',
  name: 'web',
  uid: 'uid-1',
  annotations: {},
  pullSecrets: [],
  isDeleting: false,
};
const namespaceOf = (inject: string) => ({
  name: 'shop',
  labels: { 'keyless-pull.dev/inject': inject },
  isTerminating: false,
});
const missing = async () => ({ kind: 'missing' }) as const;

async function open() {
  const clock = createHandClock();
  const issuer = await createFakeIssuer({ clock });
  const { audience } = issuer;
  const registry = await createTokenRealmDouble({
    clock,
    trust: { issuer, audience, subjects: [SUBJECT], clock },
  });
  const folder = mkdtempSync(join(tmpdir(), 'keyless-pull-doctor-'));
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const config = file(
    'config.yaml',
    `
apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - { name: team, hosts: ["${registry.host}"], audience: "${audience}", exchange: { kind: pass-through } }
`,
  );
  const tokens: string[] = [];
  const cluster: DoctorCluster = {
    greeting: async () => 'the API server takes you for jane',
    account: async () => ({ kind: 'found', thing: ACCOUNT }),
    namespace: async () => ({ kind: 'found', thing: namespaceOf('enabled') }),
    discovery: async () => ({ kind: 'found', thing: issuer.discovery }),
    fenceAudiences: async () => ({ kind: 'found', thing: [audience] }),
    async token() {
      const token = await issuer.token({ claims: { sub: SUBJECT } });
      tokens.push(token);
      const issuedAt = clock.now();
      const thing = {
        token: new SecretText(token),
        issuedAt,
        expiresAt: issuedAt + 600_000,
        keyId: issuer.keyId,
        algorithm: 'ES256',
        claims: { iss: issuer.url, sub: SUBJECT, aud: [audience] },
      };
      return { kind: 'found', thing };
    },
  };
  const stop = new AbortController();

  async function ask(
    options: Partial<DoctorOptions> = {},
    tools: Partial<DoctorTools> = {},
    isTerminal = false,
  ) {
    const printed = { out: '', err: '' };
    const io = {
      out: (text: string) => void (printed.out += text),
      err: (text: string) => void (printed.err += text),
      readStdin: async () => '',
      signal: stop.signal,
      isTerminal,
    };
    const code = await doctor(
      { config, rule: 'team', account: 'shop/web', output: 'table', color: false, ...options },
      io,
      {
        clock,
        cluster,
        http: createHttpCall(),
        issuerAuthority: issuer.certificateAuthorityPem,
        registryAuthority: registry.certificateAuthorityPem,
        ...tools,
      },
    );
    for (const token of tokens) {
      expect(printed.out + printed.err).not.toContain(token);
      expect(printed.out + printed.err).not.toContain(token.split('.')[2]);
    }
    return { code, ...printed };
  }

  return {
    clock,
    issuer,
    registry,
    cluster,
    config,
    folder,
    file,
    stop,
    tokens,
    ask,
    async [Symbol.asyncDispose]() {
      rmSync(folder, { recursive: true });
      await registry[Symbol.asyncDispose]();
      await issuer[Symbol.asyncDispose]();
    },
  };
}

interface Report {
  readonly steps: readonly Step[];
  readonly ok: boolean;
}

describe('what is printed', () => {
  test('a line for each step and a last one that counts them, when all is well', async () => {
    await using world = await open();

    const { code, out, err } = await world.ask();

    const lines = out.trimEnd().split('\n');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(lines.slice(0, -1).map((line) => /^✓ ([a-z-]+) +\S/.exec(line)?.[1])).toEqual(stepIds);
    expect(lines.at(-1)).toBe(`${stepIds.length} ok, 0 failed`);
    expect(lines.at(-2)).toBe(
      `✓ login             ${world.registry.host} takes the login, for any repository: pass --image to see whether it opens one`,
    );
    expect(world.tokens, 'one token does for all steps').toHaveLength(1);
  });

  test('JSON: rule, account, host, steps and ok, and nothing else', async () => {
    await using world = await open();

    const { code, out } = await world.ask({ output: 'json' });

    const report = JSON.parse(out) as Report;
    expect(code).toBe(0);
    expect(Object.keys(report)).toEqual(['rule', 'account', 'host', 'steps', 'ok']);
    expect(report).toMatchObject({ rule: 'team', account: 'shop/web', host: world.registry.host, ok: true });
    expect(report.steps.map(({ step }) => step)).toEqual(stepIds);
    for (const step of report.steps) expect(Object.keys(step)).toEqual(['step', 'outcome', 'found']);
  });

  test('YAML is the same document', async () => {
    await using world = await open();

    const { out } = await world.ask({ output: 'yaml' });

    expect(parse(out)).toEqual(JSON.parse((await world.ask({ output: 'json' })).out));
  });

  test('a failure with its cure, what hangs on it as not checked, and exit code 1', async () => {
    await using world = await open();

    const { code, out } = await world.ask({}, { cluster: { ...world.cluster, account: missing } });

    expect(code).toBe(1);
    expect(out).toContain(
      '✗ account           there is no ServiceAccount shop/web\n                    cure: correct --account, or create it: kubectl create serviceaccount web -n shop\n',
    );
    expect(out).toContain('– subject           not checked: because account failed\n');
    expect(out).toContain('– login             not checked: because account failed\n');
    expect(out).toContain('✓ issuer-reachable');
    expect(out).toMatch(/\n11 ok, 1 failed, 8 not checked\n$/);
  });

  test('a warning with its sign, which fails nothing', async () => {
    await using world = await open();
    const thing = namespaceOf('draining');
    const namespace = async () => ({ kind: 'found', thing }) as const;

    const { code, out } = await world.ask({}, { cluster: { ...world.cluster, namespace } });

    expect(code).toBe(0);
    expect(out).toContain('! namespace         namespace shop is draining');
    expect(out).toMatch(/\n19 ok, 0 failed, 1 to think about\n$/);
  });

  test('colours when they are asked for, and none else', async () => {
    await using world = await open();

    expect((await world.ask({ color: true })).out).toContain('\u001B[32m✓');
    expect((await world.ask()).out).not.toContain('\u001B');
  });
});

describe('what fails at the registry', () => {
  test('a token server that wants another audience', async () => {
    await using world = await open();
    const { certificateAuthorityPem } = world.registry;
    const trust = {
      issuer: world.issuer,
      audience: 'https://other.example',
      subjects: [SUBJECT],
      clock: world.clock,
    };
    await using other = await createTokenRealmDouble({ clock: world.clock, trust });
    world.registry.realm = other.realm;

    const authority = `${certificateAuthorityPem}\n${other.certificateAuthorityPem}`;
    const { code, out } = await world.ask({ output: 'json' }, { registryAuthority: authority });

    const failed = (JSON.parse(out) as Report).steps.filter(({ outcome }) => outcome === 'failed');
    expect(code).toBe(1);
    expect(failed).toEqual([
      {
        step: 'login',
        outcome: 'failed',
        found: `${other.host} refuses this account (401 UNAUTHORIZED): the login is not accepted, or its user may not pull this (exchange-refused)`,
        cure: 'compare what the registry trusts with the step claims, byte for byte',
      },
    ]);
  });

  test('a certificate whose authority nobody named', async () => {
    await using world = await open();

    let isOver = false;
    const asked = world.ask({}, { registryAuthority: undefined }).finally(() => (isOver = true));
    while (!isOver) await world.clock.advance(2_000);
    const { code, out } = await asked;

    expect(code).toBe(1);
    expect(out).toMatch(
      /✗ login .* cannot be reached: (?:SELF_SIGNED|UNABLE_TO)_\w+ \(exchange-unreachable\)\n/,
    );
    expect(out).toContain('cure: pass --registry-ca with its authority, which every node must trust too\n');
  });

  test('nothing, when a rule tries the realm itself and names the authority of the registry', async () => {
    await using world = await open();
    const authority = world.file('ca.pem', world.registry.certificateAuthorityPem);
    const text = readFileSync(world.config, 'utf8').replace(
      'kind: pass-through',
      `kind: token-realm, certificateAuthorityFile: "${authority}"`,
    );
    const config = world.file('realm.yaml', text);

    const { code, out } = await world.ask({ config }, { registryAuthority: undefined });

    expect(code).toBe(0);
    expect(out).toContain(
      '✓ exchange          user shop/web, good for 10 min, until 2026-11-21T12:10:00.000Z',
    );
    expect(out).toContain('✓ login');
  });

  test('a key that the issuer does not publish', async () => {
    await using world = await open();
    await world.issuer.rotate({ publish: false });

    const { code, out } = await world.ask();

    expect(code).toBe(1);
    expect(out).toContain(
      `✗ issuer-keys       ${world.issuer.keyId}, which signs tokens now, is not among the 1 keys at ${world.issuer.url}/openid/v1/jwks`,
    );
  });
});

describe('how it ends', () => {
  test('with 2 where the cluster could not be asked, and all the rest not checked', async () => {
    await using world = await open();
    const greeting = async () => {
      throw new Problem('cluster-unreachable', 'the API server cannot be reached');
    };

    const { code, out } = await world.ask({}, { cluster: { ...world.cluster, greeting } });

    expect(code).toBe(2);
    expect(out).toContain('✗ cluster           the API server cannot be reached (cluster-unreachable)\n');
    expect(out).toContain('– account           not checked: because cluster failed\n');
  });

  test('with 2 when the user has enough of it', async () => {
    await using world = await open();
    const token: typeof world.cluster.token = async (...wish) => {
      world.stop.abort();
      return world.cluster.token(...wish);
    };

    const { code, out } = await world.ask({}, { cluster: { ...world.cluster, token } });

    expect(code).toBe(2);
    expect(out).toContain('✗ login             the check was stopped (deadline)\n');
  });

  test('a failure that is no Problem is a bug, and stays one', async () => {
    await using world = await open();
    const greeting = async () => {
      throw new TypeError('a bug');
    };

    await expect(world.ask({}, { cluster: { ...world.cluster, greeting } })).rejects.toThrow('a bug');
  });

  test('a step that takes more than two seconds is named on a terminal', async () => {
    await using world = await open();
    const greeted = Promise.withResolvers<string>();
    const tools = { cluster: { ...world.cluster, greeting: () => greeted.promise } };

    for (const [isTerminal, told] of [
      [true, 'checking cluster …\n'],
      [false, ''],
    ] as const) {
      const asked = world.ask({}, tools, isTerminal);
      await world.clock.advance(1_999);
      await world.clock.advance(1);
      greeted.resolve('the API server answers');
      expect((await asked).err).toBe(told);
      if (isTerminal) Object.assign(tools.cluster, { greeting: () => slowly(world.clock) });
    }
  });
});

async function slowly(clock: ReturnType<typeof createHandClock>): Promise<string> {
  await clock.sleep(1_999);
  return 'the API server answers';
}

describe('offline', () => {
  const account = (annotations = '{}') => `
apiVersion: v1
kind: ServiceAccount
metadata: { name: web, namespace: shop, annotations: ${annotations} }
---
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { keyless-pull.dev/inject: enabled } }
`;

  async function runCommand(...words: string[]) {
    const printed = { out: '', err: '' };
    const code = await runProgram('keyless-pull', ['doctor', ...words], {
      out: (text) => (printed.out += text),
      err: (text) => (printed.err += text),
      readStdin: async () => account(),
      signal: new AbortController().signal,
      isTerminal: false,
    });
    return { code, ...printed };
  }
  const basics = (config: string) => ['--config', config, '--rule', 'team', '--account', 'shop/web'];

  test('config, rule, account and namespace are checked, and nothing that would ask anybody', async () => {
    await using world = await open();
    const file = world.file('account.yaml', account());

    const { code, out } = await runCommand(...basics(world.config), '--offline', '--account-file', file);

    const offline = checks.filter(({ isOffline }) => isOffline).map(({ step }) => step);
    const lines = out.trimEnd().split('\n');
    expect(code).toBe(0);
    expect(offline).toEqual([
      'config',
      'rule',
      'host',
      'cluster',
      'account',
      'namespace',
      'subject',
      'parameters',
    ]);
    expect(lines.filter((line) => line.startsWith('✓'))).toHaveLength(offline.length);
    expect(lines.filter((line) => line.endsWith('not checked: --offline asks nobody'))).toHaveLength(
      stepIds.length - offline.length,
    );
  });

  test('the account may come from stdin, and the namespace may be left out', async () => {
    await using world = await open();
    const alone = world.file('alone.yaml', account().split('---')[0] ?? '');

    const fromStdin = await runCommand(...basics(world.config), '--offline', '--account-file', '-');
    const withoutNamespace = await runCommand(...basics(world.config), '--offline', '--account-file', alone);

    expect(fromStdin.code).toBe(0);
    expect(withoutNamespace.out).toContain(
      '– namespace         not checked: you may not read namespace shop',
    );
    expect(withoutNamespace.out).toContain('✓ subject');
  });

  test('an account that the file does not have', async () => {
    await using world = await open();
    const file = world.file('other.yaml', account().replace('name: web', 'name: other'));

    const { code, out } = await runCommand(...basics(world.config), '--offline', '--account-file', file);

    expect(code).toBe(1);
    expect(out).toContain('✗ account           there is no ServiceAccount shop/web');
  });

  test.each<[string[], string]>([
    [['--account', 'web'], '--account is written NAMESPACE/NAME, in lower case'],
    [['--account', '../web'], '--account is written NAMESPACE/NAME, in lower case'],
    [['--offline'], '--offline needs --account-file: a file with the ServiceAccount, and its Namespace'],
    [['--account-file', 'x'], '--account-file goes with --offline'],
    [['--image', 'Shop:1:2'], '--image: the image reference "Shop:1:2" has a malformed'],
    [
      ['--image', 'a.example/x', '--host', 'b.example'],
      '--image names a.example, and --host b.example: leave --host out',
    ],
  ])('%j is wrong use', async (words, sentence) => {
    await using world = await open();

    const { code, out, err } = await runCommand(...basics(world.config), ...words);

    expect({ code, out }).toEqual({ code: 64, out: '' });
    expect(err).toContain(sentence);
  });

  test('wrong use is also a rule of many hosts without --host', async () => {
    await using world = await open();
    const text = readFileSync(world.config, 'utf8').replace('hosts: [', 'hosts: ["other.example", ');
    const config = world.file('many.yaml', text);
    const file = world.file('account.yaml', account());

    const { code, err } = await runCommand(...basics(config), '--offline', '--account-file', file);

    expect(code).toBe(64);
    expect(err).toContain('pass --host or --image: rule team serves other.example, 127.0.0.1:');
  });

  test('a file that cannot be read is not done: 2', async () => {
    await using world = await open();
    const words = [...basics(world.config), '--offline', '--account-file', join(world.folder, 'no.yaml')];

    expect(await runCommand(...words)).toMatchObject({ code: 2, out: '' });
    expect(
      await runCommand(...basics(world.config), '--issuer-ca', join(world.folder, 'no.pem')),
    ).toMatchObject({
      code: 2,
      out: '',
    });
  });
});

describe('docs/doctor.md', () => {
  const page = readFileSync('docs/doctor.md', 'utf8');

  test('has a row for every step of both halves, in their order', () => {
    const rows = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, step]) => step);

    expect(rows).toEqual([...stepIds, ...systemStepIds]);
    expect(checks.map(({ step }) => step)).toEqual(stepIds);
  });

  test('says of every step what it needs', () => {
    for (const { step, needs } of checks) {
      const row = page.split('\n').find((line) => line.startsWith(`| \`${step}\` |`)) ?? '';
      const told = [...(row.split('|')[2] ?? '').matchAll(/`([a-z-]+)`/g)].map(([, need]) => need);
      expect(told, step).toEqual(needs);
    }
  });

  test('names every flag, and only flags that exist', () => {
    const known = [...doctorFlags.map(({ flags }) => flags.split(' ')[0]), '--output', '--no-color'];
    const usage = /```sh\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
    const named = [...usage.matchAll(/(--[a-z-]+)/g)].map(([, flag]) => flag);

    expect(new Set(named)).toEqual(new Set(known));
  });
});
