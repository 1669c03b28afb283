// What the README, the reference's commands and labels, and the examples say is tried: commands, flags, files, names and
// configurations exist as they stand there.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runProgram } from '../src/cli/program.ts';
import { loadConfig, parseConfig } from '../src/config.ts';
import { secretNameFor } from '../src/core/pull-secret.ts';
import type { FamilyFacts } from '../src/core/registry-family.ts';
import * as vocabulary from '../src/core/vocabulary.ts';
import { families } from '../src/registry/families.ts';
import { loadTokenServerConfig } from '../src/token-server/token-server-config.ts';

const readme = readFileSync('README.md', 'utf8');
const contributing = readFileSync('CONTRIBUTING.md', 'utf8');
const interfaces =
  /\n## Commands\n[\s\S]*(?=\n## The config\n)/.exec(readFileSync('docs/reference.md', 'utf8'))?.[0] ?? '';
const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
};

async function run(...words: string[]) {
  const printed = { out: '', err: '' };
  const code = await runProgram('keyless-pull', words, {
    out: (text) => (printed.out += text),
    err: (text) => (printed.err += text),
    readStdin: async () => '',
    signal: new AbortController().signal,
    isTerminal: false,
  });
  return { code, ...printed };
}

const matches = (pattern: RegExp, text = readme) => [
  ...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? '')),
];

describe('the README, CONTRIBUTING and the reference', () => {
  test('name only npm scripts that exist', () => {
    const named = matches(/npm (?:run )?([a-z:]+)/g, readme + contributing + interfaces).filter(
      (name) => !['ci', 'pack'].includes(name),
    );

    expect(named.length).toBeGreaterThan(10);
    for (const name of named) expect(manifest.scripts).toHaveProperty(name);
  });

  test('name every command, and only commands that exist', async () => {
    const { out } = await run('--help');
    const commands = [...out.matchAll(/^ {2}([a-z-]+) /gm)]
      .map((match) => match[1])
      .filter((name) => name !== 'help');

    const named = matches(/`keyless-pull ([a-z-]+)/g, interfaces);

    expect(new Set(named)).toEqual(new Set(commands));
  });

  test('name only flags that exist', async () => {
    const helps = await Promise.all(
      [
        'serve',
        'token-server',
        'render',
        'check-config',
        'doctor',
        'status',
        'explain',
        'release',
        'uninstall',
        'test',
        'migrate',
      ].map((command) => run(command, '--help')),
    );
    const known = helps.map(({ out }) => out).join('');

    // Helm's are its own.
    const flags = matches(/^(?!helm )(.*)$/gm, readme + interfaces).flatMap(
      (line) => line.match(/--[a-z]+(?:-[a-z]+)*/g) ?? [],
    );
    for (const flag of flags.filter((name) => !['--keep', '--node'].includes(name)))
      expect(known).toContain(flag);
  });

  test('show configurations that are accepted', () => {
    const blocks = matches(/```yaml\n([\s\S]*?)```/g).filter((block) => block.includes('kind: Config'));

    expect(blocks.length).toBeGreaterThan(0);
    for (const block of blocks) expect(() => parseConfig(block, 'README.md')).not.toThrow();
  });

  test('say of every dependency what it is for, and of no other', () => {
    const sentence = /Dependencies: ([\s\S]*?)\.\n/.exec(readme)?.[1] ?? '';
    const named = [...sentence.matchAll(/`([^`]+)`/g)]
      .map((match) => match[1])
      .filter((name) => name !== 'render');

    expect(new Set(named)).toEqual(new Set(Object.keys(manifest.dependencies)));
  });

  test('use labels, annotations and names as the program has them', () => {
    const values: unknown[] = Object.values(vocabulary);
    for (const { parameters } of Object.values<FamilyFacts>(families))
      values.push(...Object.keys(parameters).map((name) => `keyless-pull.dev/${name}`));

    for (const name of matches(/`(keyless-pull\.dev\/[a-z-]+)/g, interfaces)) expect(values).toContain(name);
    expect(readme).toContain(secretNameFor('web', 'team-registry', '', 'registry.team.example'));
  });
});

describe('the examples', () => {
  // The others are one rule each, and are tried in examples.test.ts.
  const folders = readdirSync('examples', { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && existsSync(join('examples', entry.name, 'shop.yaml')),
  );

  test.each(folders.map(({ name }) => name))(
    '%s: configurations are accepted, and render gives every pod a credential',
    async (name) => {
      const folder = join('examples', name);
      const config = join(folder, 'keyless-pull.yaml');

      const { code, out } = await run('render', '-f', join(folder, 'shop.yaml'), '--config', config);

      expect(() => loadConfig(config)).not.toThrow();
      if (existsSync(join(folder, 'token-server.yaml')))
        loadTokenServerConfig(join(folder, 'token-server.yaml'));
      expect(code).toBe(0);
      for (const line of out.trim().split('\n')) {
        const rendered = JSON.parse(line) as { plan: { needs: unknown[] }; warnings: string[] };
        expect(rendered.plan.needs.length).toBeGreaterThan(0);
        expect(rendered.warnings).toEqual([]);
      }
    },
  );
});
