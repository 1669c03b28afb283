// Every folder of examples as it stands there: its config is one, its pods get what its README promises, and its trust
// set-up is what the program writes today.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runProgram } from '../src/cli/program.ts';
import { familyTrusts } from '../src/cli/trust/family-trusts.ts';
import { loadConfig } from '../src/config.ts';
import { parseTokenServerConfig } from '../src/token-server/token-server-config.ts';

const ISSUER = 'https://oidc.team.example';
const ECR = '111122223333.dkr.ecr.eu-central-1.amazonaws.com';
const PROVISIONERS = '999999999999.dkr.ecr.eu-central-1.amazonaws.com';

interface Need {
  readonly rule: string;
  readonly registry: string;
  readonly principal?: string;
}

/** By folder; each inner list is one pod of pod.yaml. */
const wanted: Readonly<Record<string, readonly (readonly Need[])[]>> = {
  'in-pod': [
    [
      { rule: 'team-registry', registry: 'registry.team.example' },
      { rule: 'releases', registry: 'releases.team.example' },
    ],
    [{ rule: 'team-registry', registry: 'registry.team.example' }],
  ],
  ecr: [[{ rule: 'ecr', registry: ECR, principal: 'arn:aws:iam::111122223333:role/pull/shop-web' }]],
  'ecr-public': [
    [
      {
        rule: 'ecr-public',
        registry: 'public.ecr.aws',
        principal: 'arn:aws:iam::111122223333:role/ecr-public-pull',
      },
    ],
  ],
  google: [[{ rule: 'google', registry: 'europe-west1-docker.pkg.dev' }]],
  acr: [
    [{ rule: 'acr', registry: 'teamregistry.azurecr.io', principal: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee' }],
  ],
  'token-exchange': [
    [{ rule: 'team-registry', registry: 'registry.team.example', principal: 'registry-pull' }],
  ],
  'token-realm': [[{ rule: 'team-registry', registry: 'registry.team.example' }]],
  'pass-through': [[{ rule: 'zot', registry: 'zot.team.example' }]],
  quay: [[{ rule: 'quay', registry: 'quay.io', principal: 'team+shop_web' }]],
  jfrog: [[{ rule: 'jfrog', registry: 'team.jfrog.io' }]],
  cloudsmith: [[{ rule: 'cloudsmith', registry: 'docker.cloudsmith.io', principal: 'shop-web-x7k2' }]],
  chainguard: [
    [
      {
        rule: 'chainguard',
        registry: 'cgr.dev',
        principal: '0123456789abcdef0123456789abcdef01234567/89abcdef01234567',
      },
    ],
  ],
  alibaba: [
    [
      {
        rule: 'alibaba',
        registry: 'team-registry.eu-central-1.cr.aliyuncs.com',
        principal: 'acs:ram::1234567890123456:role/shop-web',
      },
    ],
  ],
  'from-provisioner': [
    [
      { rule: 'ecr', registry: PROVISIONERS, principal: 'arn:aws:iam::999999999999:role/shop-web' },
      { rule: 'ecr', registry: PROVISIONERS, principal: 'arn:aws:iam::999999999999:role/shared-bases' },
    ],
    [
      {
        rule: 'google',
        registry: 'europe-west1-docker.pkg.dev',
        principal: 'shop-report@team-project.iam.gserviceaccount.com',
      },
    ],
  ],
};

const forms: Readonly<Record<string, string>> = {
  'trust.tf': 'terraform',
  'trust.sh': 'commands',
  'token-server.yaml': 'token-server',
  'zot.json': 'zot',
};

async function run(...words: string[]) {
  const printed = { out: '', err: '' };
  const code = await runProgram('keyless-pull', words, {
    out: (text) => void (printed.out += text),
    err: (text) => void (printed.err += text),
    readStdin: async () => '',
    signal: new AbortController().signal,
    isTerminal: false,
  });
  return { code, ...printed };
}

interface Rendered {
  readonly plan: { readonly needs: readonly (Need & { readonly secretName: string })[] };
  readonly warnings: readonly string[];
}

async function render(folder: string): Promise<Rendered[]> {
  const at = (name: string) => join('examples', folder, name);
  const { out, err } = await run(
    ...['render', '-f', at('pod.yaml'), '--account', at('account.yaml'), '--config', at('config.yaml')],
  );
  expect(err).toBe('');
  return out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Rendered);
}

test('every folder with a trust set-up is tried here, and every registry family has one', () => {
  const folders = readdirSync('examples').filter((name) => existsSync(join('examples', name, 'trust')));

  expect(Object.keys(wanted)).toEqual(expect.arrayContaining(folders));
  expect(folders).toEqual(expect.arrayContaining(Object.keys(familyTrusts)));
});

describe.each(Object.entries(wanted))('examples/%s', (folder, needs) => {
  test('the config is accepted, and has an allow-list where it has a wildcard', () => {
    const { rules } = loadConfig(join('examples', folder, 'config.yaml'));

    for (const rule of rules) {
      if (rule.hosts.some((host) => host.includes('*'))) expect(rule.registries).toBeDefined();
    }
  });

  test('each pod gets exactly these credentials, and no warning', async () => {
    const rendered = await render(folder);

    expect(rendered.map(({ warnings }) => warnings)).toEqual(rendered.map(() => []));
    expect(
      rendered.map(({ plan }) => plan.needs.map(({ secretName: _secretName, ...need }) => need)),
    ).toEqual(needs);
  });

  test('the README is short and names only files that are there', () => {
    const text = readFileSync(join('examples', folder, 'README.md'), 'utf8');
    const named = [...text.matchAll(/`((?:trust\/)?[\w-]+\.(?:yaml|tf|sh|json))`/g)].map(
      ([, name = '']) => name,
    );

    expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(30);
    expect(named.length).toBeGreaterThan(0);
    for (const name of named) expect(existsSync(join('examples', folder, name)), name).toBe(true);
  });
});

const trustFiles = Object.keys(wanted)
  .filter((folder) => existsSync(join('examples', folder, 'trust')))
  .flatMap((folder) => readdirSync(join('examples', folder, 'trust')).map((file) => [folder, file] as const));

describe('trust set-ups', () => {
  test.each(trustFiles)('examples/%s/trust/%s is what the program writes', async (folder, file) => {
    const [first] = (await render(folder)).flatMap(({ plan }) => plan.needs);
    const { code, out, err } = await run(
      ...['generate', 'trust', '--config', join('examples', folder, 'config.yaml')],
      ...['--account-file', join('examples', folder, 'account.yaml'), '--account', 'shop/web'],
      ...['--rule', first?.rule ?? '', '--host', first?.registry ?? '', '--issuer', ISSUER],
      ...['--format', forms[file] ?? ''],
    );

    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toBe(readFileSync(join('examples', folder, 'trust', file), 'utf8'));
  });

  test.each(Object.entries(familyTrusts))('%s has an example of its first form', (kind, family) => {
    const [form] = Object.keys(family.forms);
    const files = trustFiles.filter(([folder]) => folder === kind).map(([, file]) => forms[file]);

    expect(files).toContain(form);
  });

  test.each(trustFiles.filter(([, file]) => file === 'token-server.yaml'))(
    'examples/%s/trust/%s is a config of the token server',
    (folder, file) => {
      const text = readFileSync(join('examples', folder, 'trust', file), 'utf8');

      expect(() => parseTokenServerConfig(text, file)).not.toThrow();
    },
  );

  test.each(Object.keys(familyTrusts))(
    'examples/%s shows in its README the command that wrote it',
    async (folder) => {
      const text = readFileSync(join('examples', folder, 'README.md'), 'utf8');
      const [, block = ''] = /```sh\nkeyless-pull ([\s\S]*?)```/.exec(text) ?? [];
      const [command = '', target = ''] = block.replaceAll('\\\n', ' ').split('>');
      const words = command.trim().split(/\s+/);
      const inside = words.map((word) => (/\.yaml$/.test(word) ? join('examples', folder, word) : word));

      const { code, out } = await run(...inside);

      expect(code).toBe(0);
      expect(out).toBe(readFileSync(join('examples', folder, target.trim()), 'utf8'));
    },
  );
});
