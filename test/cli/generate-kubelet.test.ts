// generate kubelet-config and generate rbac: what nodes and clusters are told, byte for byte, and what is refused.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { parseProviderConfig } from '../../src/cli/kubelet/provider-config.ts';

const files = join(import.meta.dirname, 'kubelet');
const rules = join(files, 'rules.yaml');
const folder = mkdtempSync(join(tmpdir(), 'generate-kubelet-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Not YAML by its name: the formatter has other ideas of it. */
const goldenFile = (name: string) => join(files, `${name}.golden`);

async function run(...words: string[]) {
  const said = { out: '', err: '' };
  const code = await runProgram('keyless-pull', words, {
    out: (text) => (said.out += text),
    err: (text) => (said.err += text),
    readStdin: () => Promise.resolve(''),
    signal: new AbortController().signal,
    isTerminal: false,
  });
  return { code, ...said };
}

const kubeletConfig = (...words: string[]) => run('generate', 'kubelet-config', '--config', rules, ...words);

function fileOf(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

test.for<[string, ...string[]]>([
  ['newest.yaml'],
  ['1.33.yaml', '--kubernetes', '1.33'],
  ['from-alpha.yaml', '--from', join(files, 'alpha.yaml')],
  ['from-alpha-1.33.yaml', '--from', join(files, 'alpha.yaml'), '--kubernetes', '1.33'],
  ['required.json', '--format', 'json', '--require', 'eks.amazonaws.com/ecr-role-arn'],
])('the config is %s, with all that is said of it', async ([golden, ...words]) => {
  const { out, err } = await kubeletConfig(...words);

  await expect(out).toMatchFileSnapshot(goldenFile(golden));
  await expect(err).toMatchFileSnapshot(goldenFile(`${golden}.said`));
  expect(parseProviderConfig(out, golden).providers.length).toBeGreaterThan(3);
});

test('a pattern of others that never matches is told, and the exit code is 1', async () => {
  const { code, err } = await kubeletConfig('--from', join(files, 'alpha.yaml'));

  expect(code).toBe(1);
  expect(err).toContain('provider other-tokens: other.example/* never matches an image: a path is compared');
});

test('what was carried over once is carried over again without a word of change', async () => {
  const { out } = await kubeletConfig();
  const { code, out: again, err } = await kubeletConfig('--from', fileOf('again.yaml', out));

  expect({ code, again }).toEqual({ code: 0, again: out });
  expect(err).not.toContain('made anew');
});

test('a folder has a file for each provider, in the order in which they are asked', async () => {
  const directory = join(folder, 'providers');

  const { code, out } = await kubeletConfig('--directory', directory);

  const names = readdirSync(directory);
  expect(code).toBe(0);
  expect(names).toEqual([
    '01-keyless-pull-team.yaml',
    '02-keyless-pull-ecr.yaml',
    '03-keyless-pull-google.yaml',
    '04-keyless-pull-google.1.yaml',
  ]);
  expect(out.trim().split('\n')).toEqual(names);
  for (const name of names)
    expect(parseProviderConfig(readFileSync(join(directory, name), 'utf8'), name).providers).toHaveLength(1);
});

test('as JSON it says the links, the notes and the text as well', async () => {
  const { out } = await kubeletConfig('--output', 'json', '--bin-dir', '/opt/bin');

  expect(JSON.parse(out)).toMatchObject({
    kubernetes: '1.36',
    links: expect.arrayContaining([
      'ln -sf keyless-pull-credential-provider /opt/bin/keyless-pull-team',
    ]) as unknown,
    faults: [],
  });
});

describe('refused', () => {
  test.for<[string, string[], string]>([
    [
      'a folder for 1.33',
      ['--directory', join(folder, 'x'), '--kubernetes', '1.33'],
      'reads one file, and no folder',
    ],
    ['an annotation that nobody reads', ['--require', 'a.example/b'], 'no rule with delivery kubelet reads'],
    ['a release that hands out no tokens', ['--kubernetes', '1.32'], 'Allowed choices are 1.33'],
  ])('is %s', async ([, words, sentence]) => {
    const { code, out, err } = await kubeletConfig(...words);

    expect({ code, out }).toEqual({ code: 64, out: '' });
    expect(err).toContain(sentence);
  });

  test('is a config that leaves nothing to nodes', async () => {
    const text = `apiVersion: keyless-pull.dev/v1
kind: Config
rules: [{ name: a, hosts: [a.example], audience: a, exchange: { kind: pass-through } }]
`;
    const config = fileOf('secret.yaml', text);

    expect(await run('generate', 'kubelet-config', '--config', config)).toMatchObject({ code: 64, out: '' });
    expect(await run('generate', 'rbac', '--config', config)).toMatchObject({ code: 64, out: '' });
  });

  test.for<[string, string, string]>([
    ['what is no config', 'kind: Pod', 'kind: must be CredentialProviderConfig'],
    ['no YAML', '{', 'this is no YAML'],
    ['two providers of one name', 'twice', 'provider other: another provider has the same name'],
  ])('is an older config that holds %s', async ([, text, sentence]) => {
    const provider =
      '{name: other, matchImages: [a.example], defaultCacheDuration: 1m, apiVersion: credentialprovider.kubelet.k8s.io/v1}';
    const twice = `apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders: [${provider}, ${provider}]`;

    const { code, out, err } = await kubeletConfig(
      '--from',
      fileOf('older.yaml', text === 'twice' ? twice : text),
    );

    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(sentence);
  });
});

test('rights are given where no token volume names the audience, to the accounts and namespaces that subjects name', async () => {
  const { code, out, err } = await run('generate', 'rbac', '--config', rules);

  expect(code).toBe(0);
  await expect(out).toMatchFileSnapshot(goldenFile('rbac.yaml'));
  await expect(err).toMatchFileSnapshot(goldenFile('rbac.yaml.said'));
});
