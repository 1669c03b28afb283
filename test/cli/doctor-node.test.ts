// doctor node: what it says of a node's files, step by step, also of those that are broken.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { doctorNode, type DoctorNodeOptions } from '../../src/cli/doctor-node.ts';
import { runProgram } from '../../src/cli/program.ts';
import { systemClock } from '../../src/clock.ts';
import { createFakeIssuer } from '../fakes/fake-issuer.ts';
import type { NodeStep } from '../../src/cli/doctor/node/step.ts';

const root = mkdtempSync(join(tmpdir(), 'doctor-node-'));
afterAll(() => rmSync(root, { recursive: true }));
let folder: string;
let count = 0;

function file(name: string, content: string | object): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

const AUDIENCE = 'https://registry.team.example';
const IMAGE = 'registry.team.example:5000/web/app:1';
const NAME = 'registry.team.example:5000/web/app';
const provider = {
  name: 'keyless-pull-team',
  matchImages: ['registry.team.example:5000'],
  defaultCacheDuration: '0s',
  apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
  args: ['--config', 'rules.yaml'],
  tokenAttributes: { serviceAccountTokenAudience: AUDIENCE, cacheType: 'Token', requireServiceAccount: true },
};
const configOf = (...providers: object[]) => ({
  apiVersion: 'kubelet.config.k8s.io/v1',
  kind: 'CredentialProviderConfig',
  providers,
});
const RULES = `apiVersion: keyless-pull.dev/v1
kind: Config
rules:
  - name: team
    hosts: ['registry.team.example:5000']
    audience: ${AUDIENCE}
    exchange: { kind: pass-through }
    delivery: [kubelet]
`;
const account = (annotations = {}) => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: { namespace: 'shop', name: 'web', annotations },
});
const podWith = (audience: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'shop', name: 'web' },
  spec: {
    serviceAccountName: 'web',
    containers: [{ name: 'app', image: IMAGE }],
    volumes: [
      {
        name: 'keyless-pull-tokens',
        projected: { sources: [{ serviceAccountToken: { audience, path: 'x' } }] },
      },
    ],
  },
});
const list = (...items: object[]) => ({ apiVersion: 'v1', kind: 'List', items });

beforeEach(() => {
  folder = join(root, String(++count));
  mkdirSync(join(folder, 'bin'), { recursive: true });
  executable('keyless-pull-credential-provider');
  symlinkSync('keyless-pull-credential-provider', join(folder, 'bin', 'keyless-pull-team'));
});

function executable(name: string): void {
  chmodSync(file(`bin/${name}`, '#!/bin/sh\n'), 0o755);
}

async function look(wish: Partial<DoctorNodeOptions>, listed?: readonly string[]) {
  const said = { out: '', err: '' };
  const io = {
    out: (text: string) => (said.out += text),
    err: (text: string) => (said.err += text),
    readStdin: () => Promise.resolve(''),
    signal: new AbortController().signal,
    isTerminal: false,
  };
  const options = {
    kubernetes: '1.36',
    namespace: 'default',
    output: 'json',
    color: false,
    ...wish,
  } as const;
  const tools = { proc: join(folder, 'proc'), listImages: () => Promise.resolve(listed) };
  const code = await doctorNode({ binDir: join(folder, 'bin'), rootDir: folder, ...options }, io, tools);
  const { steps, ok } = JSON.parse(said.out) as { steps: NodeStep[]; ok: boolean };
  const of = (step: string) => steps.filter((one) => one.step === step);
  return { code, ok, steps, of, outcome: (step: string) => of(step).map(({ outcome }) => outcome) };
}

test('a node that serves the account is fine, from pattern to answer', async () => {
  const { code, of, steps } = await look({
    providerConfig: file('providers.json', configOf(provider)),
    image: IMAGE,
    account: file('shop.json', list(account(), podWith(AUDIENCE))),
    config: file('rules.yaml', RULES),
  });

  expect(code).toBe(0);
  expect(steps.filter(({ outcome }) => outcome !== 'ok').map(({ step }) => step)).toEqual(['present']);
  expect(of('image')[0]?.found).toBe(`providers are chosen for ${NAME}`);
  expect(of('answer')[0]?.found).toBe('rule team (pass-through); not exchanged, which takes --token');
});

test('with a token the answer is made, and no password is said', async () => {
  await using issuer = await createFakeIssuer({ clock: systemClock, audience: AUDIENCE });
  const token = await issuer.token();

  const { of, steps } = await look({
    providerConfig: file('providers.json', configOf(provider)),
    image: IMAGE,
    namespace: 'team-a',
    serviceAccount: 'builder',
    config: file('rules.yaml', RULES),
    token: file('token', `${token}\n`),
  });

  expect(of('answer')[0]).toMatchObject({
    outcome: 'ok',
    found: expect.stringMatching(
      /^rule team \(pass-through\): registry\.team\.example:5000 as team-a\/builder, remembered for \d+ s by Registry$/,
    ) as string,
  });
  expect(JSON.stringify(steps)).not.toContain(token);
});

test('the kubelet that runs here is found, with its flags and its config', async () => {
  file('proc/12/cmdline', 'bash\0');
  file(
    'proc/34/cmdline',
    `/usr/bin/kubelet\0--config=${join(folder, 'kubelet.yaml')}\0--image-credential-provider-config\0${join(folder, 'providers.json')}\0--feature-gates=KubeletEnsureSecretPulledImages=false\0`,
  );
  file('kubelet.yaml', 'kind: KubeletConfiguration\nimagePullCredentialsVerificationPolicy: AlwaysVerify\n');
  file('providers.json', configOf(provider));

  const { of } = await look({}, ['docker.io/library/nginx:1']);

  expect(of('kubelet')[0]?.found).toBe(`the kubelet that runs here and ${join(folder, 'kubelet.yaml')}`);
  expect(of('provider-config')[0]?.outcome).toBe('ok');
  expect(of('present')[0]).toMatchObject({ about: 'docker.io/library/nginx', outcome: 'warning' });
  expect(of('present')[0]?.found).toContain('feature gate KubeletEnsureSecretPulledImages is off');
});

test('a folder of drop-ins is laid over the config, in the order of its names, as the kubelet does', async () => {
  const settings = (policy: string, gates = {}) => ({
    kind: 'KubeletConfiguration',
    imagePullCredentialsVerificationPolicy: policy,
    featureGates: gates,
  });
  file('kubelet.json', settings('NeverVerify', { KubeletEnsureSecretPulledImages: true }));
  const last = file('drop-ins/20-last.conf', settings('AlwaysVerify'));
  const first = file('drop-ins/10-first/a.conf', settings('NeverVerify'));
  file('drop-ins/30-not-read.yaml', settings('NeverVerify'));
  const flags = `--config=${join(folder, 'kubelet.json')} --config-dir=${join(folder, 'drop-ins')}`;
  const lookThere = () => look({ kubeletFlags: file('flags', flags), images: file('images', 'nginx\n') });

  const { of } = await lookThere();
  file('drop-ins/40-gate.conf', {
    kind: 'KubeletConfiguration',
    featureGates: { KubeletEnsureSecretPulledImages: false },
  });
  const gated = await lookThere();

  expect(of('kubelet')[0]?.found).toContain(`${join(folder, 'kubelet.json')} and ${first} and ${last}`);
  expect(of('present')[0]?.found).toBe('nobody: who asks for it is asked for a credential');
  expect(gated.of('present')[0]?.found).toContain('feature gate KubeletEnsureSecretPulledImages is off');
});

test('flags are read from a unit file as well', async () => {
  file('providers.json', configOf(provider));
  const { of } = await look({
    kubeletFlags: file(
      'kubelet.env',
      `KUBELET_ARGS="--image-credential-provider-config=${join(folder, 'providers.json')} \\\n --v=2"\n`,
    ),
  });

  expect(of('provider-config')[0]?.outcome).toBe('ok');
});

describe('it is said', () => {
  const asked = (...providers: object[]) => ({
    providerConfig: file('providers.json', configOf(...providers)),
    image: IMAGE,
    config: file('rules.yaml', RULES),
    namespace: 'shop',
    serviceAccount: 'web',
  });

  test('that a kubelet would not start, with every fault', async () => {
    const { code, of } = await look(asked({ ...provider, name: 'a/b', matchImages: [] }));

    expect(code).toBe(1);
    expect(of('provider-config')[0]).toMatchObject({ outcome: 'failed' });
    expect(of('provider-config')[0]?.found).toMatch(/\[0\]\.name.*\[0\]\.matchImages/s);
  });

  test.for<[string, string]>([
    ['no YAML', '{'],
    ['empty', ''],
    ['another kind', 'kind: Pod'],
    ['a list', '[]'],
  ])('that a provider config is %s', async ([, text]) => {
    const { code, outcome } = await look({ providerConfig: file('providers.yaml', text) });

    expect({ code, outcomes: outcome('provider-config') }).toEqual({ code: 1, outcomes: ['failed'] });
  });

  test('that files of a folder name one provider twice, or that a kubelet of 1.33 reads no folder', async () => {
    file('providers.d/1.yaml', configOf(provider));
    file('providers.d/2.json', configOf(provider));
    file('providers.d/readme.md', '#');
    const providerConfig = join(folder, 'providers.d');

    expect((await look({ providerConfig })).of('provider-config')[0]?.found).toContain('the same name');
    expect((await look({ providerConfig, kubernetes: '1.33' })).of('provider-config')[0]?.found).toContain(
      'reads one file',
    );
  });

  test('that the feature gate is off', async () => {
    const { tokenAttributes, ...others } = provider;
    const { cacheType: _, ...old } = tokenAttributes;
    const { of } = await look({ ...asked({ ...others, tokenAttributes: old }), kubernetes: '1.33' });

    expect(of('provider-config')[0]?.found).toContain('KubeletServiceAccountTokenForCredentialProviders');
  });

  test('that an executable is missing, or cannot be run, or is a folder', async () => {
    file('bin/plain', '');
    mkdirSync(join(folder, 'bin/folder'));
    const named = (name: string) => ({ ...provider, name });

    const { outcome, of } = await look(asked(provider, named('none'), named('plain'), named('folder')));

    expect(outcome('executables')).toEqual(['ok', 'failed', 'failed', 'failed']);
    expect(of('executables')[1]?.found).toContain('there is no such file');
  });

  test('that no provider speaks of the image, and which pattern never will', async () => {
    const { code, of } = await look(asked({ ...provider, matchImages: ['*.team.example/*'] }));

    expect(code).toBe(1);
    expect(of('providers')[0]?.found).toContain('*.team.example/* never matches an image');
  });

  test('that a required annotation is missing, with the command that adds it', async () => {
    const tokens = {
      ...provider.tokenAttributes,
      requiredServiceAccountAnnotationKeys: ['team.example/pull'],
    };
    const { of, outcome } = await look(asked({ ...provider, tokenAttributes: tokens }));

    expect(of('account')[0]).toMatchObject({
      outcome: 'failed',
      cure: 'kubectl annotate -n shop serviceaccount web team.example/pull=…',
    });
    expect(outcome('answer')).toEqual([]);
  });

  test('that the kubelet keeps an annotation of ours from the plugin', async () => {
    const { of } = await look({
      ...asked(provider),
      account: file('web.json', account({ 'keyless-pull.dev/role-arn': 'x' })),
    });

    expect(of('account')[0]).toMatchObject({ outcome: 'warning' });
    expect(of('account')[0]?.found).toContain('and not keyless-pull.dev/role-arn');
  });

  test('that the node may not ask for the audience, or by which role it may', async () => {
    const role = (resourceNames: string[]) => ({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'audience' },
      rules: [
        {
          apiGroups: [''],
          resources: [AUDIENCE],
          resourceNames,
          verbs: ['request-serviceaccounts-token-audience'],
        },
      ],
    });
    const with_ = async (...more: object[]) =>
      (
        await look({ ...asked(provider), account: file('a.json', list(account(), podWith('else'), ...more)) })
      ).of('audience')[0];

    expect(await with_()).toMatchObject({ outcome: 'failed' });
    expect(await with_(role(['other']))).toMatchObject({ outcome: 'failed' });
    expect(await with_(role(['web']))).toMatchObject({
      outcome: 'ok',
      found: expect.stringContaining('ClusterRole audience') as string,
    });
    expect((await look(asked(provider))).of('audience')[0]).toMatchObject({ outcome: 'warning' });
  });

  test.for<[string, string[], object]>([
    ['in two words', ['--config', 'RULES'], { outcome: 'ok' }],
    ['in one word', ['--config=RULES'], { outcome: 'ok' }],
    ['not at all', [], { outcome: 'failed', found: expect.stringContaining('--config FILE') as string }],
  ])('what our plugin does where its entry names the rules %s', async ([, words, answer]) => {
    const path = file('rules.yaml', RULES);
    const args = words.map((word) => word.replace('RULES', path));
    const { config: _, ...asOnTheNode } = asked({ ...provider, args });

    const { of } = await look(asOnTheNode);

    expect(of('answer')[0]).toMatchObject(answer);
  });

  test('that the rules have nothing for it', async () => {
    const { of } = await look({
      ...asked(provider),
      config: file('rules.yaml', RULES.replace('delivery: [kubelet]', 'delivery: [secret]')),
    });

    expect(of('answer')[0]).toMatchObject({ outcome: 'warning' });
    expect(of('answer')[0]?.found).toContain('no rule with delivery kubelet speaks of');
  });
});

describe('images that are there', () => {
  const record = (name: string, mapping: object) =>
    file(`image_manager/pulled/sha256-${name}`, {
      kind: 'ImagePulledRecord',
      apiVersion: 'imagemanager.kubelet.config.k8s.io/v1beta1',
      lastUpdatedTime: '2026-11-21T12:00:00Z',
      imageRef: `sha256:${name}`,
      credentialMapping: { [`registry.team.example:5000/${name}`]: mapping },
    });
  const images = () =>
    file(
      'images.txt',
      ['secret', 'account', 'open', 'preloaded']
        .map((name) => `registry.team.example:5000/${name}:1`)
        .join('\n'),
    );
  const present = async (policy?: object) => {
    record('secret', {
      kubernetesSecrets: [{ namespace: 'shop', name: 'pull', uid: 'u', credentialHash: 'h' }],
    });
    record('account', { kubernetesServiceAccounts: [{ namespace: 'shop', name: 'web', uid: 'u' }] });
    record('open', { nodePodsAccessible: true });
    const { of } = await look({
      kubeletConfig: file('kubelet.yaml', { kind: 'KubeletConfiguration', ...policy }),
      images: images(),
    });
    return Object.fromEntries(
      of('present').map(({ about, found }) => [about.replace(/.*\//, ''), found.replace(/: .*/, '')]),
    );
  };
  const named = {
    account: 'pods with ServiceAccount shop/web',
    open: 'every pod',
    secret: 'pods with Secret shop/pull',
  };

  test.for<[string, object, object]>([
    ['without a policy', {}, { ...named, preloaded: 'every pod' }],
    [
      'under AlwaysVerify',
      { imagePullCredentialsVerificationPolicy: 'AlwaysVerify' },
      { ...named, preloaded: 'nobody' },
    ],
    [
      'under NeverVerify',
      { imagePullCredentialsVerificationPolicy: 'NeverVerify' },
      { account: 'every pod', open: 'every pod', secret: 'every pod', preloaded: 'every pod' },
    ],
    [
      'on an allow-list',
      {
        imagePullCredentialsVerificationPolicy: 'NeverVerifyAllowlistedImages',
        preloadedImagesVerificationAllowlist: ['registry.team.example:5000/secret', 'other.example/*'],
      },
      { ...named, secret: 'every pod', preloaded: 'nobody' },
    ],
  ])('are told with who has them, %s', async ([, policy, expected]) => {
    expect(await present(policy)).toEqual(expected);
  });

  test('whose record is no record are told as well', async () => {
    file('image_manager/pulled/sha256-broken', '{');
    file('image_manager/pulled/sha256-other', { kind: 'Other' });

    const { code, outcome } = await look({ kubeletConfig: file('k.yaml', 'kind: KubeletConfiguration\n') });

    expect({ code, outcomes: outcome('present') }).toEqual({
      code: 1,
      outcomes: ['failed', 'failed', 'skipped'],
    });
  });
});

test('a file that cannot be read or is of another kind ends it with 2', async () => {
  const run = async (...words: string[]) => {
    let err = '';
    const code = await runProgram('keyless-pull', ['doctor', 'node', ...words], {
      out: () => undefined,
      err: (text) => (err += text),
      readStdin: () => Promise.resolve(''),
      signal: new AbortController().signal,
      isTerminal: false,
    });
    return [code, err];
  };

  expect(await run('--kubelet-config', join(folder, 'none'))).toEqual([
    2,
    expect.stringContaining('(file-unreadable)'),
  ]);
  expect(await run('--kubelet-config', file('p.yaml', 'kind: Pod'))).toEqual([
    2,
    expect.stringContaining('no KubeletConfiguration'),
  ]);
  expect(await run('--provider-config', join(folder, 'none'))).toEqual([
    2,
    expect.stringContaining('no such file'),
  ]);
  expect((await run('--unknown'))[0]).toBe(64);
  // Flags that doctor has too are its own.
  expect((await run('--image', 'UPPER//', '--config', 'none'))[0]).toBe(1);
});
