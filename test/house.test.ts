// The architecture as a test: who imports whom, and what stands in one place only. Each failure says its rule.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';
import manifest from '../package.json' with { type: 'json' };

const root = join(import.meta.dirname, '..');

/** What git knows or would know: what is ignored is nobody's business. */
const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((path) => path !== '' && existsSync(join(root, path)));
const text = new Map(files.map((path) => [path, readFileSync(join(root, path), 'utf8')]));
const ours = files.filter((path) => /^(src|test|tools|bench)\/.*\.ts$/.test(path));
const source = ours.filter((path) => path.startsWith('src/'));

interface Import {
  readonly from: string;
  /** A package, a `node:` module, or the path of one of our files. */
  readonly to: string;
  readonly written: string;
  /** `import type`: gone at run time. `import { type … }` is not: Node loads the module all the same. */
  readonly isType: boolean;
  /** `import()`: loaded when it is needed. */
  readonly isLate: boolean;
}

const IMPORT = /^(?:import|export)\s+(type\s)?(?:[^;'"]*?\sfrom\s)?'([^']+)'|\bimport\('([^']+)'\)/gm;
const imports = ours.flatMap((from) =>
  [...(text.get(from) ?? '').matchAll(IMPORT)].map(([, type, fixed, dynamic]): Import => {
    const written = fixed ?? dynamic ?? '';
    const [module = ''] = /^(@[^/]+\/)?[^/]+/.exec(written) ?? [];
    const to = written.startsWith('.') ? normalize(join(dirname(from), written)) : module;
    return { from, to, written, isType: type !== undefined, isLate: dynamic !== undefined };
  }),
);
const importsOfSource = imports.filter(({ from }) => from.startsWith('src/'));

/** Code without its comments, for the words that may stand in one file only. */
function code(path: string): string {
  const lines = (text.get(path) ?? '').split('\n').filter((line) => !/^\s*(\/\/|\/?\*)/.test(line));
  return lines.map((line) => line.replace(/\s\/\/ .*$/, '')).join('\n');
}

/** Files of `where` whose code has the pattern, but for those where it belongs. */
function misplaced(pattern: RegExp, where: readonly string[], ...home: string[]): string[] {
  return where.filter((path) => !home.includes(path) && pattern.test(code(path)));
}

/** What a file loads when it starts. */
function closureOf(start: readonly string[]): Set<string> {
  const seen = new Set<string>();
  const visit = (path: string) => {
    if (seen.has(path)) return;
    seen.add(path);
    const loaded = importsOfSource.filter(({ from, isType, isLate }) => from === path && !isType && !isLate);
    for (const { to } of loaded) visit(to);
  };
  for (const path of start) visit(path);
  return seen;
}

/** `src/core/pull-plan.ts` lives in `core`, `src/problem.ts` is `problem`, and what reads the config is one room. */
function roomOf(path: string): string {
  const [, first = '', second] = path.split('/');
  if (second !== undefined) return first;
  const name = basename(path, '.ts');
  return ['config-file', 'cross-faults', 'family-faults', 'fault-sentence'].includes(name) ? 'config' : name;
}

/** Who may import whom at run time, and whom as a type only. Rooms that are not here (`main`, `cli`, `plugin`) are programs. */
const house: Record<string, { runs: string[]; types?: string[] }> = {
  problem: { runs: [] },
  'secret-text': { runs: [] },
  'log-level': { runs: [] },
  'node-version': { runs: [] },
  'text-file': { runs: ['problem'] },
  clock: { runs: [] },
  log: { runs: ['problem'], types: ['log-level'] },
  core: { runs: ['problem', 'secret-text'] },
  config: { runs: ['core', 'problem', 'registry', 'text-file'], types: ['clock', 'log'] },
  registry: { runs: ['core', 'problem', 'secret-text', 'text-file'], types: ['clock', 'log'] },
  cluster: { runs: ['core', 'problem', 'secret-text', 'text-file'], types: ['clock', 'log'] },
  credentials: { runs: ['core', 'problem'], types: ['cluster', 'registry', 'clock', 'log'] },
  certificates: { runs: ['problem', 'secret-text'], types: ['cluster', 'clock', 'log'] },
  admission: { runs: ['core', 'problem'], types: ['cluster', 'credentials', 'clock', 'log'] },
  server: { runs: ['problem', 'secret-text', 'text-file'], types: ['clock', 'log'] },
  'token-server': {
    runs: ['problem', 'secret-text', 'clock', 'log', 'config', 'text-file'],
    types: ['server'], // the certificate that its own port serves with, and how logins are counted
  },
};

/** Packages that are let into few places; what is not here may be imported by whoever needs it. */
const packages: Record<string, RegExp> = {
  '@kubernetes/client-node': /^src\/cluster\/client-node(-parts)?\.ts$/,
  express: /^src\/(admission|token-server)\/routes\.ts$/,
  pino: /^src\/log\.ts$/,
  commander: /^src\/cli\/(program|[a-z]+-commands|output-option)\.ts$/,
  'prom-client': /^src\/server\/metric-set\.ts$/,
  // The keeper's credentials and those that several hosts share; the failure brake's sources and the answers to reviews, which anybody can invent and which
  // must be bounded.
  'lru-cache':
    /^src\/(credentials\/(keeper|shared-exchange)|token-server\/(failure-brake|review-check))\.ts$/,
  undici: /^src\/(cluster|token-server)\/[^/]+\.ts$/,
  jose: /^src\/token-server\//,
  aws4fetch: /^src\/registry\/ecr\.ts$/,
  yaml: /^src\/(config\.ts$|token-server\/|cli\/|cluster\/kubectl-config\.ts$)/,
  '@peculiar/x509': /^src\/certificates\/authority\.ts$/,
  'reflect-metadata': /^src\/certificates\/authority\.ts$/,
  'fast-json-patch': /^src\/(core|cli)\//,
};

/** Where a secret may leave its SecretText: towards a Secret, a signature, a TLS socket, a request. */
const revealers = [
  'src/certificates/serving-pair.ts',
  'src/cluster/kube-certificates.ts',
  'src/core/pull-secret.ts',
  'src/plugin/protocol.ts',
  'src/registry/alibaba-signature.ts',
  'src/registry/ecr.ts',
  'src/registry/http-call.ts',
  'src/registry/jwt-expiry.ts',
  'src/registry/request-body.ts',
  'src/server/certificate.ts',
  'src/server/https-server.ts',
  'src/token-server/json-call.ts',
  'src/token-server/keys-check.ts',
  'src/token-server/listener.ts',
  'src/token-server/review-check.ts',
  'src/token-server/routes.ts',
  'src/token-server/signing-key.ts',
  'src/token-server/token-reviewer.ts',
  'src/token-server/unverified-token.ts',
];

const TIME =
  /\bDate\.now\b|\bnew Date\(\)|(?<![.\w])(setTimeout|setInterval|setImmediate)\(|\bAbortSignal\.timeout\b|\bMath\.random\b|\bperformance\.now\b|\bhrtime\b|'(node:)?timers/;

const rules: Record<string, () => readonly string[]> = {
  'imports point down: programs → admission, certificates, credentials, server, token-server → cluster, registry → core → problem, secret-text':
    () =>
      importsOfSource
        .filter(({ from, to, isType }) => {
          const room = house[roomOf(from)];
          const target = roomOf(to);
          if (!room || !to.startsWith('src/') || target === roomOf(from)) return false;
          return !room.runs.includes(target) && !(isType && room.types?.includes(target));
        })
        .map(({ from, to }) => `${from} imports ${to}`),
  'every folder of src has its place in the table': () =>
    source.filter((path) => !(roomOf(path) in house) && !['main', 'cli', 'plugin'].includes(roomOf(path))),
  'each of these packages is imported where its table says, and nowhere else': () =>
    importsOfSource
      .filter(({ from, to }) => packages[to] !== undefined && !packages[to].test(from))
      .map(({ from, to }) => `${from} imports ${to}`),
  'src imports no package that is not a dependency of package.json': () =>
    importsOfSource
      .filter(({ to }) => !to.startsWith('src/') && !to.startsWith('node:') && !(to in manifest.dependencies))
      .map(({ from, to }) => `${from} imports ${to}`),
  'the core is pure: of Node it loads node:crypto alone': () =>
    [...closureOf(source.filter((path) => path.startsWith('src/core/')))].filter(
      (path) => path.startsWith('node:') && path !== 'node:crypto',
    ),
  'what needs no cluster does not load what makes starts slow': () =>
    [
      'src/cli/render.ts',
      'src/cli/check-config.ts',
      'src/cli/audit.ts',
      'src/plugin/answer-process.ts',
    ].flatMap((start) =>
      [...closureOf([start])]
        .filter((path) =>
          // The file that loads client-node does it while it is loaded itself.
          ['src/cluster/client-node.ts', 'express', 'pino', 'prom-client'].includes(path),
        )
        .map((path) => `${start} loads ${path}`),
    ),
  'the plugin, which has no rights in the cluster, loads nothing that talks to one': () =>
    [...closureOf(source.filter((path) => path.startsWith('src/plugin/')))].filter((path) =>
      path.startsWith('src/cluster/'),
    ),
  'a secret is revealed in the listed files only, and the list is not longer than it must be': () => [
    ...misplaced(/\.reveal\(/, source, ...revealers),
    ...revealers.filter((path) => !/\.reveal\(/.test(code(path))),
  ],
  'time and chance come from clock.ts': () => misplaced(TIME, source, 'src/clock.ts'),
  'the environment is read in config.ts': () => misplaced(/\bprocess\.env\b/, source, 'src/config.ts'),
  'nobody calls process.exit': () => misplaced(/\bprocess\.(exit|abort|kill)\b/, source),
  'the exit code is set where programs run': () =>
    misplaced(
      /\bprocess\.exitCode\b/,
      source,
      'src/cli/process-io.ts',
      'src/node-version.ts',
      'src/plugin/answer-process.ts',
    ),
  'no module is mocked, no check is skipped: pass another collaborator': () =>
    misplaced(/\bvi\.(mock|doMock|hoisted)\(|\b(test|it|describe)\.(skip|only|todo)\b/, ours),
  'no file of src is longer than 200 lines': () =>
    source.filter((path) => (text.get(path) ?? '').trimEnd().split('\n').length > 200),
  'what makes certificates is loaded late: it costs a start 150 ms': () =>
    importsOfSource
      .filter(({ to, isType, isLate }) => to === 'src/certificates/authority.ts' && !isType && !isLate)
      .map(({ from, to }) => `${from} loads ${to} when it starts`),
  'every file of the core has a test of the same name': () =>
    source
      .filter((path) => path.startsWith('src/core/'))
      .map((path) => path.replace('src/', 'test/').replace('.ts', '.test.ts'))
      .filter((path) => !files.includes(path)),
  'a file is called after what is in it': () =>
    ours.filter((path) =>
      /^(index|utils?|types?|constants?|helpers?|common|misc|shared)\.ts$/.test(basename(path)),
    ),
  'a file of src or tools opens with a comment that says what lives there': () =>
    ours.filter((path) => /^(src|tools)/.test(path) && !/^(#!.*\n)?\/\//.test(text.get(path) ?? '')),
  'there are no default exports, and src exports nothing again': () => [
    ...misplaced(/^export default\b/m, ours),
    ...misplaced(/^export (\*|(type )?\{[^}]*\} from\b)/m, source),
  ],
  'fast-json-patch is CommonJS: its default import alone works in Node': () =>
    misplaced(/import (type )?(\{|\*)[^;]*'fast-json-patch'/, ours),
  'relative imports end in .ts': () =>
    imports
      .filter(({ written }) => written.startsWith('.') && !/\.(ts|json)$/.test(written))
      .map(({ from, written }) => `${from} imports ${written}`),
  'no file knows the machine it was written on': () =>
    files.filter((path) => new RegExp(String.raw`(?<![\w.-])/${'work'}/`).test(text.get(path) ?? '')),
  'nothing is left to do that is not an issue': () =>
    files.filter(
      (path) => path.endsWith('.ts') && new RegExp(`\\b(${'TO'}DO|${'FIX'}ME)\\b`).test(text.get(path) ?? ''),
    ),
};

test.for(Object.entries(rules))('%s', ([rule, violations]) => {
  expect(violations(), rule).toEqual([]);
});

test('the tests run on the Node that runs the program', () => {
  expect(
    Number(process.versions.node.split('.')[0]),
    'Node 24 or later runs TypeScript as it is',
  ).toBeGreaterThanOrEqual(24);
});
