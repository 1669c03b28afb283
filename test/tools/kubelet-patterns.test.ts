// What we say of patterns in a kubelet's provider config is what the kubelet's own function does: asked of it for every pair.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { isParseable, patternMatches, whyNeverMatches } from '../../src/cli/kubelet/image-pattern.ts';
import { findParts } from '../../tools/parts.ts';

const NAMES = [
  'a.io',
  '*.io',
  'a.*',
  'a*.io',
  '*',
  'a?.io',
  'ab.io',
  'b.a.io',
  '*.a.io',
  '*.*.io',
  '**.io',
  '10.0.0.1',
  'localhost',
  'xn--a.io',
];
const PORTS = ['', ':5000', ':80', ':*', ':x'];
const PATHS = [
  '',
  '/',
  '/team',
  '/team/',
  '/team/app',
  '/*',
  '/team*',
  '/te?m',
  '/App',
  '/app:1',
  '/app@sha256:0',
  '/team-b',
  '/v2/x',
];
const SCHEMES = ['', 'https://', 'http://'];
const HOSTS = ['a.io', 'ab.io', 'b.a.io', 'c.b.io', '10.0.0.1', 'xn--a.io'];
const REPOSITORIES = ['team', 'team/app', 'team-b/app', 'app', 'v2/x', 'x'];

const all = <Part>(...lists: readonly (readonly Part[])[]): Part[][] =>
  lists.reduce<Part[][]>((made, list) => made.flatMap((one) => list.map((part) => [...one, part])), [[]]);

test('patterns match, cannot match and cannot be read exactly as the kubelet has it', async () => {
  const { 'kubelet-matcher': matcher } = await findParts(['kubelet-matcher']);
  const patterns = all(SCHEMES, NAMES, PORTS, PATHS).map((parts) => parts.join(''));
  const images = [
    ...all([...HOSTS, 'localhost'], ['', ':5000', ':80'], REPOSITORIES).map(
      ([host, port, repository]) => `${host}${port}/${repository}`,
    ),
  ];
  const pairs = patterns.flatMap((pattern) => images.map((image) => [pattern, image] as const));
  const child = spawn(matcher, { stdio: ['pipe', 'pipe', 'inherit'] });
  const said = text(child.stdout);
  child.stdin.end(pairs.map(([pattern, image]) => `${pattern}\t${image}\n`).join(''));
  const ended = once(child, 'close');
  const lines = (await said).trim().split('\n');
  await ended;

  const different: string[] = [];
  let matched = 0;
  for (const [at, [pattern, image]] of pairs.entries()) {
    const line = lines[at];
    const ours = !isParseable(pattern) ? '!' : patternMatches(pattern, image) ? '1' : '0';
    if (line === '1') matched++;
    if (line !== ours) different.push(`${pattern} ${image}: ${line}, not ${ours}`);
    if (line === '1' && whyNeverMatches(pattern) !== undefined)
      different.push(`${pattern} matches ${image}, and we say that it never does`);
  }

  expect(lines).toHaveLength(pairs.length);
  expect(different.slice(0, 20)).toEqual([]);
  expect(matched).toBeGreaterThan(1_000);
});
