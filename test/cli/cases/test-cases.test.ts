// keyless-pull test: cases of a team, how they come out, what is told of those that fail, and what --update writes.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runProgram } from '../../../src/cli/program.ts';
import { createPrinted } from '../fake-user-cluster.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cases-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const OBJECTS = `---
apiVersion: v1
kind: Namespace
metadata: { name: team-a, labels: { keyless-pull.dev/inject: enabled } }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: builder, namespace: team-a }
---
apiVersion: v1
kind: Pod
metadata: { name: x, namespace: team-a }
spec:
  serviceAccountName: builder
  containers: [{ name: a, image: "registry.team.example:5000/a:1" }]
`;
const HEAD = 'case: a pod of the team gets its credential\n';

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

async function run(...words: string[]) {
  const io = createPrinted();
  const code = await runProgram('keyless-pull', ['test', '-f', folder, ...words], io);
  return { code, stdout: io.stdout, stderr: io.stderr };
}

interface Result {
  readonly cases: readonly { readonly outcome: string; readonly failures: readonly { what: string }[] }[];
  readonly summary: object;
}

describe('a case', () => {
  test('that holds is a line', async () => {
    const path = write('a.yaml', `${HEAD}expect: { verdict: patched, pullSecrets: [$own] }\n${OBJECTS}`);

    expect(await run()).toEqual({
      code: 0,
      stdout: `✓ ${path}: a pod of the team gets its credential\n1 passed, 0 failed\n`,
      stderr: '',
    });
  });

  test('that fails shows what was expected and what came out', async () => {
    write('a.yaml', `${HEAD}expect: { verdict: denied, gates: [], warnings: [nothing] }\n${OBJECTS}`);

    const { code, stdout } = await run();

    expect(code).toBe(1);
    expect(stdout).toContain(`    verdict: expected denied, got patched
    gates: - expected, + got
      -[]
      +- keyless-pull.dev/credentials
    warnings: - expected, + got
      -- nothing
      +[]
0 passed, 1 failed
`);
  });

  test.each([
    ['verdict: allowed', 'verdict'],
    ['verdict: patched, reason: ungated', 'reason'],
    ['verdict: patched, patch: []', 'patch'],
    ['verdict: patched, paths: []', 'paths'],
    ['verdict: patched, pullSecrets: []', 'pullSecrets'],
    ['verdict: patched, gates: []', 'gates'],
    ['verdict: patched, annotation: x', 'annotation'],
    ['verdict: patched, result: { spec: { nodeName: x } }', 'result'],
    ['verdict: patched, result: { spec: { containers: [] } }', 'result'],
    ['verdict: patched, warnings: [x]', 'warnings'],
    ['verdict: patched, denied: [x]', 'denied'],
    ['verdict: patched, audit: { plan: nope }', 'audit'],
  ])('expect: { %s } fails for its %s', async (wanted, what) => {
    write('a.yaml', `${HEAD}expect: { ${wanted} }\n${OBJECTS}`);

    const { code, stdout } = await run('--output', 'json');

    expect(code).toBe(1);
    expect((JSON.parse(stdout) as Result).cases[0]?.failures.map((one) => one.what)).toEqual([what]);
  });

  test('takes rules and policy from --config where it has none of its own', async () => {
    const config = write(
      'config.yml.txt',
      `apiVersion: keyless-pull.dev/v1
kind: Config
rules: [{ name: other, hosts: [registry.team.example:5000], audience: "https://other", exchange: { kind: pass-through } }]
policy: { exemptions: [{ secret: old, until: 2026-12-31, reason: moves }] }
`,
    );
    write(
      'a.yaml',
      `${HEAD}names: { ours: builder other registry.team.example:5000 }\nexpect: { verdict: patched, pullSecrets: [$ours] }\n${OBJECTS}`,
    );
    write(
      'b.yaml',
      `${HEAD}path: /validate/enforce\nexpect: { verdict: allowed, reason: exempt, warnings: [was it removed] }\n${OBJECTS}  imagePullSecrets: [{ name: old }]\n`,
    );

    expect(await run('--config', config)).toMatchObject({ code: 0 });
    expect(await run()).toMatchObject({ code: 1 });
  });

  test.each([
    [
      'a header with a fault',
      `${HEAD}expect: { verdict: maybe }\nnow: today\n${OBJECTS}`,
      'a.yaml:2: expect.verdict',
    ],
    ['no case at all', `expect: { verdict: allowed }\n${OBJECTS}`, 'case: is required'],
    [
      'two pods of three',
      `${HEAD}expect: { verdict: allowed }\n${OBJECTS}${OBJECTS}${OBJECTS}`,
      'after the header come',
    ],
    ['no YAML', `${HEAD}expect: [\n${OBJECTS}`, 'this is no YAML'],
    [
      'an object that nobody judges',
      `${HEAD}expect: { verdict: allowed }\n---\nkind: constructor\n`,
      'after the header come',
    ],
    ['an alias that leads nowhere', `${HEAD}names: *none\n${OBJECTS}`, 'an alias (*name) names no anchor'],
    ['an alias in an object', `${HEAD}${OBJECTS}  nodeSelector: *none\n`, 'an alias (*name) names no anchor'],
  ])('that cannot be read is broken: %s', async (_title, text, told) => {
    write('a.yaml', text);
    write('b.yaml', `${HEAD}expect: { verdict: patched }\n${OBJECTS}`);

    const { code, stdout } = await run();

    expect(code).toBe(2);
    expect(stdout).toContain(told);
    expect(stdout).toContain('1 passed, 0 failed, 1 broken\n');
  });
});

describe('files', () => {
  test('of a folder and its folders are cases where they begin like one; configs and manifests may lie beside them', async () => {
    mkdirSync(join(folder, 'deeper'));
    write('deeper/a.yml', `${HEAD}expect: { verdict: patched }\n${OBJECTS}`);
    write('config.yaml', 'kind: Config\n');
    write('pod.yaml', OBJECTS);

    expect((await run()).stdout).toContain('1 passed, 0 failed\n');
  });

  test('that are named are cases, or broken', async () => {
    const path = write('pod.yaml', OBJECTS);

    expect(await runProgram('keyless-pull', ['test', '-f', path], createPrinted())).toBe(2);
  });

  test('without any case are 2', async () => {
    const { code, stderr } = await run();

    expect(code).toBe(2);
    expect(stderr).toContain('there is no case in');
  });
});

describe('JUnit', () => {
  test('has a line for each case, and what was told of those that fail; on stdout or in a file', async () => {
    write('a.yaml', `case: "quotes & <angles> in a name"\nexpect: { verdict: patched }\n${OBJECTS}`);
    write('b.yaml', `${HEAD}expect: { verdict: patched, warnings: ["a\\u0007b"] }\n${OBJECTS}`);
    write('c.yaml', 'expect: 1\n');

    const { code, stdout } = await run('--output', 'junit', '--junit', join(folder, 'report.xml'));

    expect(code).toBe(2);
    expect(stdout).toContain('<testsuite name="keyless-pull test" tests="3" failures="1" errors="1">');
    expect(stdout).toContain('name="quotes &amp; &lt;angles&gt; in a name"');
    expect(stdout).toMatch(/<failure message="warnings: - expected, \+ got">[^<]*\n {2}-- "?a/);
    expect(stdout).toMatch(/<error message="[^"]*c\.yaml has \d faults/);
    expect(stdout).not.toContain('\u0007');
    expect(readFileSync(join(folder, 'report.xml'), 'utf8')).toBe(stdout);
  });
});

describe('--update', () => {
  test('rewrites what did not hold, and nothing else', async () => {
    const text = `# Of team a.
${HEAD}expect: # what we want
  verdict: allowed # not sure
  # its secrets
  pullSecrets: [nope]
  warnings: [a]
now: 2026-11-21T12:00:00Z # noon
`;
    const path = write('a.yaml', text + OBJECTS);

    expect(await run('--update')).toMatchObject({ code: 0 });

    expect(readFileSync(path, 'utf8')).toBe(`# Of team a.
${HEAD}expect: # what we want
  verdict: patched # not sure
  # its secrets
  pullSecrets:
    - $own
now: 2026-11-21T12:00:00Z # noon
${OBJECTS}`);
    expect((await run()).stdout).toContain('1 passed, 0 failed\n');
  });

  test('writes the first expectation of a case that has none', async () => {
    const path = write('a.yaml', HEAD + OBJECTS);

    expect((await run()).stdout).toContain('expect: there is none yet (--update writes it)');
    await run('--update');

    expect(readFileSync(path, 'utf8')).toBe(`${HEAD}expect:
  verdict: patched
  reason: gated
  pullSecrets:
    - $own
  gates:
    - keyless-pull.dev/credentials
  annotation: team-registry=$own
${OBJECTS}`);
  });

  test('changes no file of a case that holds, and none of a broken one', async () => {
    const texts = { 'a.yaml': `${HEAD}expect: { verdict: patched }\n${OBJECTS}`, 'b.yaml': 'expect: 1\n' };
    for (const [name, text] of Object.entries(texts)) write(name, text);

    expect((await run('--update')).code).toBe(2);

    for (const [name, text] of Object.entries(texts))
      expect(readFileSync(join(folder, name), 'utf8')).toBe(text);
  });

  const ours = readdirSync('test/cases').filter((name) => name.endsWith('.yaml'));
  const tens = Array.from({ length: Math.ceil(ours.length / 10) }, (_, at) =>
    ours.slice(at * 10, at * 10 + 10),
  );

  test.each(tens)(
    'mends cases of ours, however they are written, and keeps their comments: %s …',
    async (...names) => {
      const broken = (text: string) =>
        text
          .replace(/verdict: \w+/, (found) =>
            found.endsWith('denied') ? 'verdict: patched' : 'verdict: denied',
          )
          .replace(/\breason: [\w-]+/, 'reason: no-such-reason')
          .replace(/pullSecrets: \[[^\]]*\]/, 'pullSecrets: [wrong, list]');
      for (const name of names) write(name, broken(readFileSync(join('test/cases', name), 'utf8')));

      const { code, stdout } = await run('--update');

      expect(stdout).toContain(`${names.length} passed, 0 failed, ${names.length} updated`);
      expect(code).toBe(0);
      const comments = (text: string) => text.match(/(?:^|\s)#.*/gm) ?? [];
      for (const name of names) {
        const before = readFileSync(join('test/cases', name), 'utf8');
        const after = readFileSync(join(folder, name), 'utf8');
        expect(comments(after), name).toEqual(comments(before));
        expect(after.split('\n---\n').slice(1), name).toEqual(before.split('\n---\n').slice(1));
      }
    },
  );
});

test('the cases of examples/migration hold under its config', async () => {
  const io = createPrinted();
  const words = ['test', '-f', 'examples/migration/cases', '--config', 'examples/migration/config.yaml'];

  expect(await runProgram('keyless-pull', words, io)).toBe(0);
  expect(io.stdout).toContain('3 passed, 0 failed\n');
});
