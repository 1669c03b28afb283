// generate trust: what the other side is told, byte for byte, and that nobody's text gets out of its quotes.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { runProgram } from '../../src/cli/program.ts';
import { familyTrusts } from '../../src/cli/trust/family-trusts.ts';
import { comment, hclQuoted, shellJson, shellQuoted, shellValue } from '../../src/cli/trust/quoting.ts';
import { nameFor, type Trust, type TrustForm } from '../../src/cli/trust/trust.ts';
import { trustText } from '../../src/cli/trust/trust-text.ts';
import { loadConfig } from '../../src/config.ts';
import { partsOf } from '../../src/core/registry-family.ts';
import { parseTokenServerConfig } from '../../src/token-server/token-server-config.ts';

const folder = mkdtempSync(join(tmpdir(), 'generate-trust-'));
afterAll(() => rmSync(folder, { recursive: true }));

const ISSUER = 'https://oidc.team.example/id/A1';
const annotated = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [name, { from: 'annotation' }]));

/** A rule of every family in which the account says everything, and a host of it. */
const rules: Readonly<Record<string, { host: string; parameters?: object; endpoint?: string }>> = {
  'pass-through': { host: 'zot.team.example' },
  'token-realm': { host: 'registry.team.example:5000' },
  ecr: {
    host: '111122223333.dkr.ecr.us-gov-west-1.amazonaws.com',
    parameters: annotated('role-arn'),
  },
  'ecr-public': { host: 'public.ecr.aws', parameters: annotated('role-arn') },
  google: {
    host: 'eu.gcr.io',
    parameters: annotated('workload-identity-provider', 'service-account-email', 'sts-audience'),
  },
  acr: { host: 'team-h1a2b3c4d5e6f7g8.azurecr.io', parameters: annotated('client-id', 'tenant-id') },
  'token-exchange': {
    host: 'registry.team.example',
    endpoint: 'https://login.team.example/token',
    parameters: annotated('grant', 'scope'),
  },
  quay: { host: 'quay.team.example:8443', parameters: annotated('robot') },
  jfrog: { host: 'team.jfrog.io', parameters: annotated('provider', 'project') },
  cloudsmith: { host: 'docker.cloudsmith.io', parameters: annotated('organization', 'service') },
  chainguard: { host: 'cgr.dev', parameters: annotated('identity') },
  alibaba: {
    host: 'team-registry.eu-central-1.cr.aliyuncs.com',
    parameters: annotated('role-arn', 'oidc-provider-arn', 'instance-id'),
  },
};

const audienceOf = (kind: string) => `keyless-pull.team.example/${kind}`;
const config = fileOf('config.yaml', {
  apiVersion: 'keyless-pull.dev/v1',
  kind: 'Config',
  rules: Object.entries(rules).map(([kind, { host, parameters, endpoint }], at) => ({
    name: kind,
    // Two families of one host name: each its own.
    hosts: [kind === 'token-exchange' ? `token-exchange.${host}` : host],
    audience: audienceOf(kind),
    exchange: { kind, ...(endpoint && { endpoint }) },
    ...(parameters && { parameters }),
    ...(at === 0 && { prewarm: false }),
  })),
});

function fileOf(name: string, ...documents: object[]): string {
  const path = join(folder, name);
  writeFileSync(path, documents.map((document) => stringify(document)).join('---\n'));
  return path;
}

function accountFile(name: string, annotations: Readonly<Record<string, string>>): string {
  return fileOf(name, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'web', namespace: 'shop', annotations },
  });
}

async function run(...words: string[]) {
  const printed = { out: '', err: '' };
  const code = await runProgram('keyless-pull', ['generate', ...words], {
    out: (text) => void (printed.out += text),
    err: (text) => void (printed.err += text),
    readStdin: async () => '',
    signal: new AbortController().signal,
    isTerminal: false,
  });
  return { code, ...printed };
}

const trust = (rule: string, ...more: string[]) =>
  run('trust', '--config', config, '--rule', rule, '--account', 'shop/web', '--issuer', ISSUER, ...more);

/** No formatter knows the last two. */
const extensions: Readonly<Record<TrustForm, string>> = {
  terraform: 'tf',
  commands: 'sh',
  'token-server': 'token-server',
  zot: 'zot',
};
const isOfTokenServer = (kind: string) =>
  'token-server' in familyTrusts[kind as keyof typeof familyTrusts].forms;
const pairs = Object.entries(familyTrusts).flatMap(([kind, family]) =>
  (Object.keys(family.forms) as TrustForm[]).map((form) => [kind, form] as const),
);

/** The texts between quotes; undefined where quotes, brackets or templates do not add up. */
function hclStrings(text: string): string[] | undefined {
  const open: string[] = [];
  const strings: string[] = [];
  const token = /#[^\n]*|"((?:[^"\\\n]|\\(?:["\\nrt]|u[0-9a-f]{4}))*)"|[[\](){}]|"|[^#"[\](){}]+/gy;
  for (const [whole, inside] of text.matchAll(token)) {
    if (inside !== undefined) {
      if (/[$%]\{/.test(inside)) return undefined;
      strings.push(JSON.parse(`"${inside}"`) as string);
    } else if (whole === '"') return undefined;
    else if ('[({'.includes(whole)) open.push(whole);
    else if ('])}'.includes(whole) && open.pop() !== { ']': '[', ')': '(', '}': '{' }[whole])
      return undefined;
  }
  return open.length === 0 ? strings : undefined;
}

const CURL = '--silent --show-error --fail-with-body --config -';

function shell(script: string, words: readonly string[] = [], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync('bash', [...words, '-s'], {
    input: script,
    encoding: 'utf8',
    env,
  });
  return { status, stdout, stderr };
}

describe('what nobody has set', () => {
  test.each(pairs)('%s as %s is chosen and said, or left to be filled in', async (kind, form) => {
    const host = kind === 'token-exchange' ? [] : ['--host', rules[kind]?.host ?? ''];
    const { code, out, err } = await trust(kind, '--format', form, ...host);

    expect({ code, err }).toEqual({ code: 0, err: '' });
    await expect(out).toMatchFileSnapshot(`trust/${kind}.${extensions[form]}`);
  });

  test.each(pairs)('%s as %s is well-formed, and names issuer, audience and subject', async (kind, form) => {
    const { out } = await trust(kind, '--format', form);

    const told = [ISSUER, audienceOf(kind), 'system:serviceaccount:shop:web'];
    // The token server has a subject in two parts.
    const [issuer, audience, subject] = told;
    const parts = isOfTokenServer(kind) ? ['shop', 'web'] : [subject];
    if (form === 'terraform')
      expect(hclStrings(out)).toEqual(expect.arrayContaining([issuer, audience, ...parts]));
    if (form === 'commands') expect(shell(out, ['-n'])).toEqual({ status: 0, stdout: '', stderr: '' });
    if (form === 'token-server') parseTokenServerConfig(out, 'out');
    if (form === 'zot') JSON.parse(out);
    if (form !== 'token-server') for (const text of told) expect(out).toContain(text);
  });

  test('lists what was chosen with the annotation that it becomes', async () => {
    const { out } = await trust('ecr', '--output', 'json');

    expect(JSON.parse(out)).toMatchObject({
      exchange: 'ecr',
      subject: 'system:serviceaccount:shop:web',
      format: 'terraform',
      chosen: [
        { parameter: 'role-arn', value: 'arn:aws-us-gov:iam::111122223333:role/keyless-pull-shop-web' },
      ],
      faults: [],
    });
  });
});

describe("what the account's annotations say", () => {
  test('is filled in, for each of several principals, and nothing is chosen', async () => {
    const account = accountFile('two-roles.yaml', {
      'keyless-pull.dev/role-arn':
        'arn:aws-us-gov:iam::111122223333:role/pull/one,arn:aws-us-gov:iam::444455556666:role/two',
    });

    const { code, out } = await trust('ecr', '--account-file', account);

    expect(code).toBe(0);
    expect(hclStrings(out)).toEqual(expect.arrayContaining(['one', '/pull/', 'two', 'pull_2']));
    expect(out).not.toContain('Nobody has set');
    expect(out).toContain('# Note: role arn:aws-us-gov:iam::444455556666:role/two is in another AWS account');
    await expect(out).toMatchFileSnapshot('trust/ecr-two-roles.tf');
  });

  test.each([
    ['terraform', 'tf'],
    ['commands', 'sh'],
  ])('a service account of Google is impersonated: %s', async (form, extension) => {
    const account = accountFile('google.yaml', {
      'keyless-pull.dev/workload-identity-provider':
        'projects/42/locations/global/workloadIdentityPools/pool/providers/cluster',
      'keyless-pull.dev/service-account-email': 'puller@team.iam.gserviceaccount.com',
    });

    const { code, out } = await trust('google', '--account-file', account, '--format', form);

    expect(code).toBe(0);
    expect(out).toContain('roles/iam.workloadIdentityUser');
    await expect(out).toMatchFileSnapshot(`trust/google-impersonation.${extension}`);
  });

  test('that break the grammar are refused with the sentence of the webhook', async () => {
    const account = accountFile('bad.yaml', { 'keyless-pull.dev/robot': "team+x'; reboot" });

    const { code, err, out } = await trust('quay', '--account-file', account);

    expect({ code, out }).toEqual({ code: 64, out: '' });
    expect(err).toContain('robot looks like organization+name');
  });

  test('an audience of a cloud is told from a dedicated one', async () => {
    const own = fileOf('ambient.yaml', {
      apiVersion: 'keyless-pull.dev/v1',
      kind: 'Config',
      rules: [
        {
          name: 'acr',
          hosts: ['teamregistry.azurecr.io'],
          audience: 'api://AzureADTokenExchange',
          exchange: { kind: 'acr' },
          parameters: annotated('client-id', 'tenant-id'),
        },
      ],
    });

    const { code, out } = await trust('acr', '--config', own);

    expect(code).toBe(0);
    expect(out).toContain("any token that the account's pods have for Azure would be accepted here too");
    expect((await trust('acr')).out).not.toContain('accepted here too');
  });
});

test('Quay’s Terraform makes the calls of the commands, and makes no robot that is there', async () => {
  const { out } = await trust('quay');
  const [, script = ''] = /<<-EOT\n([^]*?)\n +EOT\n/.exec(out) ?? [];
  const words: Record<string, string> = {
    QUAY_TOKEN: 'secret',
    ROBOT: 'r',
    FEDERATION: '[]',
    PERMISSION: 'p',
  };
  const runWith = (hasRobot: boolean) =>
    shell(
      `curl() { cat >> stdin; [ "$*" != "$GET" ] || ${hasRobot} && echo "$@"; }\ncd ${folder}\n${script}`,
      [],
      { ...words, PATH: process.env['PATH'] ?? '', GET: `${CURL} --output /dev/null r` },
    ).stdout.split('\n');

  const fresh = runWith(false);
  const again = runWith(true);

  const made = `${CURL} --request PUT --json {} --output /dev/null r`;
  const rest = [
    `${CURL} --json [] --output /dev/null r/federation`,
    `${CURL} --request PUT --json {"role": "read"} --output /dev/null p`,
    '',
  ];
  expect(fresh).toEqual([made, ...rest]);
  expect(again).toEqual([`${CURL} --output /dev/null r`, ...rest]);
  expect(new Set(readFileSync(join(folder, 'stdin'), 'utf8').trim().split('\n'))).toEqual(
    new Set(['header = "Authorization: Bearer secret"']),
  );
});

test('the token server’s config is the same as a file, in the ConfigMap of the commands, and in Terraform’s', async () => {
  const [file, script, text] = await Promise.all(
    ['token-server', 'commands', 'terraform'].map(
      async (form) => (await trust('token-realm', '--format', form)).out,
    ),
  );
  const config = parse(file ?? '') as unknown;
  const kubectl = `kubectl() { for last; do :; done; printf '%s' "$last"; }\n`;

  const { stdout } = shell(kubectl + script, [], { PATH: process.env['PATH'] ?? '' });
  const strings = hclStrings(text ?? '') ?? [];

  const [, yaml = ''] = /^token-server\.yaml=([^]*)$/.exec(stdout) ?? [];
  expect(parse(yaml)).toEqual(config);
  expect(strings.slice(strings.indexOf('token-server.yaml') + 1)).toEqual(leavesOf(config));
});

const leavesOf = (value: unknown): unknown[] =>
  typeof value === 'object' && value !== null ? Object.values(value).flatMap(leavesOf) : [value];

describe('what will not work is written down all the same, with exit code 1', () => {
  test('a subject that is too long for Google', async () => {
    const name = 'a'.repeat(101);
    const { code, out, err } = await trust('google', '--account', `shop/${name}`);

    expect(code).toBe(1);
    expect(err).toContain('google.subject holds 127 bytes and this subject has 128');
    expect(out).toContain('# WILL NOT WORK: google.subject');
  });

  test.each([
    ['ecr', 'https://oidc.team.example:6443', 'no issuer with a port'],
    ['quay', 'https://kubernetes.default.svc.cluster.local', 'Quay must fetch'],
    ['acr', `https://oidc.team.example/${'x'.repeat(600)}`, 'longer than the 600 characters'],
  ])('%s with issuer %s', async (rule, issuer, sentence) => {
    const { code, err } = await trust(rule, '--issuer', issuer);

    expect(code).toBe(1);
    expect(err).toContain(sentence);
  });

  test.each(['google', 'chainguard', 'pass-through'])(
    'but %s needs not reach the issuer itself',
    async (rule) => {
      expect((await trust(rule, '--issuer', 'https://kubernetes.default.svc.cluster.local')).code).toBe(0);
    },
  );
});

describe('wrong use is one sentence and exit code 64', () => {
  const wildcard = fileOf('wildcard.yaml', {
    apiVersion: 'keyless-pull.dev/v1',
    kind: 'Config',
    rules: [
      {
        name: 'ecr',
        hosts: ['*.dkr.ecr.*.amazonaws.com'],
        registries: ['111122223333'],
        audience: 'keyless-pull',
        exchange: { kind: 'ecr' },
        parameters: annotated('role-arn'),
      },
    ],
  });

  test.each<[string, string[], string]>([
    ['an unknown rule', ['--rule', 'nope'], 'no rule is called nope: there are pass-through, token-realm'],
    ['an account without namespace', ['--account', 'web'], '--account is written NAMESPACE/NAME'],
    ['an account that is no name', ['--account', "shop/web'$(id)"], '--account is written NAMESPACE/NAME'],
    ['an issuer without https', ['--issuer', 'http://oidc.team.example'], '--issuer is no https URL'],
    ['an issuer with quotes', ['--issuer', 'https://oidc.team.example/"`id`'], '--issuer is no https URL'],
    [
      'a form that the family lacks',
      ['--rule', 'chainguard', '--format', 'terraform'],
      'chainguard has one format, commands',
    ],
    ['another of several forms', ['--format', 'zot'], 'ecr has the formats terraform, commands'],
    [
      "somebody else's host",
      ['--host', '444455556666.dkr.ecr.eu-west-1.amazonaws.com'],
      'rule ecr does not serve',
    ],
    ['a pattern without a host', ['--config', wildcard], 'say which one with --host'],
    [
      'a host off the allow-list',
      ['--config', wildcard, '--host', '444455556666.dkr.ecr.eu-west-1.amazonaws.com'],
      'does not serve',
    ],
    [
      'an account that is not in the file',
      ['--account', 'shop/other', '--account-file', accountFile('web.yaml', {})],
      'has no ServiceAccount shop/other',
    ],
  ])('%s', async (_what, words, sentence) => {
    const { code, out, err } = await trust('ecr', ...words);

    expect({ code, out }).toEqual({ code: 64, out: '' });
    expect(err).toContain(sentence);
    expect(err.trimEnd()).not.toContain('\n');
  });

  test('no issuer: says how to find it', async () => {
    const { code, err } = await run('trust', '--config', config, '--rule', 'ecr', '--account', 'shop/web');

    expect(code).toBe(64);
    expect(err).toContain('kubectl get --raw /.well-known/openid-configuration');
  });

  test("a fleet's own pool: says what to grant", async () => {
    const account = accountFile('fleet.yaml', {
      'keyless-pull.dev/sts-audience':
        'identitynamespace:team.svc.id.goog:https://container.googleapis.com/v1/projects/team/locations/eu/clusters/one',
    });

    const { code, err } = await trust('google', '--account-file', account);

    expect(code).toBe(64);
    expect(err).toContain('workloadIdentityPools/team.svc.id.goog/subject/ns/shop/sa/web');
  });
});

test('the issuer is kept byte for byte, a slash at its end included', async () => {
  const { out } = await trust('acr', '--issuer', 'https://oidc.team.example/');

  expect(hclStrings(out)).toContain('https://oidc.team.example/');
});

test('chosen names are cut to what AWS takes, and differ where accounts do', () => {
  const long = (end: string) => nameFor({ namespace: 'n'.repeat(63), account: `${'a'.repeat(200)}${end}` });

  expect(nameFor({ namespace: 'shop', account: 'web' })).toBe('keyless-pull-shop-web');
  expect(long('1').length).toBeLessThanOrEqual(64);
  expect(long('1')).not.toBe(long('2'));
});

/** What tries to get out: quotes, templates, substitutions, line ends. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "'",
        '"',
        '`',
        '$',
        '${',
        '%{',
        '}',
        '\\',
        '\n',
        '\r',
        '$(echo PWNED >&2)',
        '`echo PWNED >&2`',
      ),
      fc.constantFrom(
        "'; echo PWNED >&2; '",
        '"; echo PWNED >&2; "',
        '\u0001PROVIDER\u0001',
        '\\u0001',
        '\u2028',
        '#',
        '*/',
      ),
      fc.string({ unit: 'grapheme', maxLength: 6 }),
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((parts) => parts.join('').replaceAll('\0', ''));

describe("nobody's text gets out of its quotes", () => {
  test('in a shell', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(shell(`printf '%s' ${shellQuoted(text)}`)).toEqual({ status: 0, stdout: text, stderr: '' });
      }),
      { numRuns: 60 },
    );
  });

  test('in JSON in a shell, where the shell puts in its own variable', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const { stdout } = shell(`P=there; printf '%s' ${shellJson({ [text]: text, own: shellValue('P') })}`);
        expect(JSON.parse(stdout)).toEqual({ [text]: text, own: 'there' });
      }),
      { numRuns: 60 },
    );
  });

  test('in Terraform', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(hclStrings(`a = ${hclQuoted(text)}`)).toEqual([text.toWellFormed()]);
      }),
      { numRuns: 500 },
    );
  });

  test('in a comment', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        expect(comment(text)).toMatch(/^#[^\n\r\u0085\u2028\u2029]*$/);
      }),
    );
  });

  const prelude = ['aws', 'gcloud', 'az', 'aliyun', 'chainctl', 'kubectl', 'curl', 'tr']
    .map((name) => `${name}() { printf '%s\\n' "$@"; }\n`)
    .join('');
  const env = Object.fromEntries(
    ['PROJECT', 'REPOSITORY', 'LOCATION', 'RESOURCE_GROUP', 'QUAY_TOKEN', 'JFROG_TOKEN', 'PULL_USER']
      .concat('CLOUDSMITH_API_KEY', 'ORGANIZATION', 'ACCOUNT', 'FINGERPRINT', 'IDENTITY')
      .map((name) => [name, 'set']),
  );

  test.each(pairs)('in all of %s as %s', (kind, form) => {
    const rule = loadConfig(config).rules.find((one) => one.name === kind);
    const host = rules[kind]?.host ?? '';
    if (!rule) throw new TypeError(kind);
    const names = Object.keys(rule.family.parameters);
    fc.assert(
      fc.property(hostile, hostile, hostile, fc.boolean(), (one, other, third, isChosen) => {
        const parameters = Object.fromEntries(names.map((name) => [name, name === 'grant' ? '' : third]));
        const bad: Trust = {
          ...{ rule: kind, kind, host, parts: partsOf(rule, host) ?? {}, namespace: 'shop', account: 'web' },
          ...{ issuer: `https://x.example/${one}`, audience: other, subject: one, endpoint: undefined },
          principals: [parameters],
          chosen: isChosen ? names.map((parameter) => ({ parameter, value: third, told: third })) : [],
        };

        const { text } = trustText(familyTrusts[kind as keyof typeof familyTrusts], bad, form);

        switch (form) {
          case 'terraform':
            expect(hclStrings(text)).toEqual(
              expect.arrayContaining([isOfTokenServer(kind) ? bad.issuer : one, other]),
            );
            break;
          case 'commands': {
            const { status, stderr } = shell(prelude + text, [], env);
            expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
            break;
          }
          case 'token-server':
            expect(parse(text)).toMatchObject({ issuers: [{ audience: other }] });
            break;
          case 'zot':
            expect(JSON.parse(text)).toMatchObject({
              http: { auth: { bearer: { oidc: [{ audiences: [other] }] } } },
            });
        }
      }),
      { numRuns: 15 },
    );
  });
});
