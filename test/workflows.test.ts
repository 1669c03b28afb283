// The workflows of the forge: whose code they run is pinned, what they may do is little, and CI runs what everybody runs.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import manifest from '../package.json' with { type: 'json' };

const FOLDER = '.github/workflows';

type Permissions = Readonly<Record<string, string>>;
interface Step {
  readonly uses?: string;
  readonly run?: string;
}
interface Job {
  readonly uses?: string;
  readonly needs?: string | readonly string[];
  readonly permissions?: Permissions;
  readonly steps?: readonly Step[];
}
interface Workflow {
  readonly permissions?: Permissions;
  readonly jobs: Readonly<Record<string, Job>>;
}

const files = readdirSync(FOLDER);
const textOf = (file: string) => readFileSync(join(FOLDER, file), 'utf8');
const read = (file: string) => parse(textOf(file)) as Workflow;
const stepsOf = (workflow: Workflow) => Object.values(workflow.jobs).flatMap(({ steps = [] }) => steps);

test('there is one for every change, one for releases, and one for every night', () => {
  expect(files.toSorted()).toEqual(['ci.yaml', 'nightly.yaml', 'release.yaml']);
});

describe.each(files)('%s', (file) => {
  const workflow = read(file);
  const used = [...textOf(file).matchAll(/\buses: (\S+)(.*)$/gm)];

  test('pins every action by its commit, and says which version that is', () => {
    const known = [...stepsOf(workflow), ...Object.values(workflow.jobs)].flatMap(({ uses = [] }) => uses);

    expect(used.map(([, name]) => name)).toHaveLength(known.length);
    for (const [line, name = '', comment] of used) {
      if (name.startsWith('./')) expect(existsSync(name), line).toBe(true);
      else {
        expect(name, line).toMatch(/^[\w.-]+\/[\w./-]+@[0-9a-f]{40}$/);
        expect(comment, line).toMatch(/^ # v\d+\.\d+\.\d+$/);
      }
    }
  });

  test('may do nothing by default but read, and each job says what it may write', () => {
    expect(
      Object.values(workflow.permissions ?? { all: 'write' }).filter((right) => right !== 'read'),
    ).toEqual([]);
    for (const [name, { permissions = {} }] of Object.entries(workflow.jobs))
      if (file === 'release.yaml') expect(Object.keys(permissions), name).not.toEqual([]);
      else
        expect(
          Object.values(permissions).filter((right) => right !== 'read'),
          name,
        ).toEqual([]);
  });

  test('keeps no credential in the checkout, and runs no text from outside as a command', () => {
    for (const [block] of textOf(file).matchAll(/uses: actions\/checkout@.*\n.*\n?/g))
      expect(block).toContain('persist-credentials: false');
    for (const { run = '' } of stepsOf(workflow))
      expect(run).not.toMatch(/\$\{\{\s*(github\.(event|head_ref|ref)|inputs)/);
  });

  test('names only npm scripts and commands that exist', () => {
    for (const { run = '' } of stepsOf(workflow))
      for (const [, script = ''] of run.matchAll(/npm run ([\w:]+)/g))
        expect(manifest.scripts).toHaveProperty(script);
  });
});

test('one action has one version everywhere', () => {
  const pins = new Map<string, Set<string>>();
  for (const [, name = '', commit = ''] of files.flatMap((file) => [
    ...textOf(file).matchAll(/uses: ([\w./-]+)@(\S+)/g),
  ]))
    pins.set(name, (pins.get(name) ?? new Set()).add(commit));

  expect([...pins].filter(([, commits]) => commits.size > 1)).toEqual([]);
});

test('CI runs .ci/run as it is, which runs what the README promises and what takes longer', () => {
  const runs = stepsOf(read('ci.yaml')).flatMap(({ run = [] }) => run);
  const promised = [...readFileSync('README.md', 'utf8').matchAll(/^npm ci && npm .*$/gm)].map(
    ([line]) => line,
  );

  expect(runs.at(-1)).toBe('.ci/run');
  expect(statSync('.ci/run').mode & 0o111).not.toBe(0);
  expect(promised.length).toBeGreaterThan(1);
  const lines = readFileSync('.ci/run', 'utf8')
    .split('\n')
    .map((line) => line.trim());
  for (const line of [...promised, 'npm run test:long', 'npm run test:node', 'npm run demo -- --node'])
    expect(lines).toContain(line);
});

test('every night draws a seed of its own and says which', () => {
  const run = stepsOf(read('nightly.yaml')).at(-1)?.run ?? '';
  const npx = 'npx() { echo "runs $*: $PROPERTY_SEED"; }';
  const nights = [1, 2].map(() => execFileSync('bash', ['-ec', `${npx}\n${run}`], { encoding: 'utf8' }));

  for (const night of nights)
    expect(night).toMatch(/^PROPERTY_SEED=(\d+)\nruns vitest run --project unit: \1\n$/);
  expect(nights[0]).not.toBe(nights[1]);
});

test('a release waits for every check before it publishes anything', () => {
  const { jobs } = read('release.yaml');
  const before = (name: string): string[] => {
    const direct = [jobs[name]?.needs ?? []].flat();
    return [...direct, ...direct.flatMap(before)];
  };

  expect(jobs['ci']?.uses).toBe('./.github/workflows/ci.yaml');
  for (const name of Object.keys(jobs).filter((one) => one !== 'ci' && one !== 'facts'))
    expect(before(name), name).toContain('ci');
});
