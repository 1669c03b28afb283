// Our rules speak of exactly the images for which the kubelet would use their credentials: asked of the kubelet's own
// function, pair by pair.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { HostPattern, hostMatches } from '../../src/core/registry-rule.ts';
import { parseImageReference } from '../../src/core/image-reference.ts';
import { findParts } from '../../tools/parts.ts';

const PAIRS = 1_000_000;

test(`a rule's host matches an image exactly when the kubelet's own function says so, ${PAIRS} pairs`, async () => {
  const { 'kubelet-matcher': matcher } = await findParts(['kubelet-matcher']);
  const seed = Math.floor(Math.random() * 2 ** 32);
  const pairs = generatePairs(seed);
  const child = spawn(matcher, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  void feed(child.stdin, pairs);

  const different: string[] = [];
  let at = 0;
  let matched = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [pattern, image] = pairs[at++] ?? ['', ''];
    const ours = hostMatches(pattern, parseImageReference(image).host);
    if (ours) matched++;
    if ((line === '1') !== ours || line === '!') different.push(`${pattern} ${image}: ${line}, not ${ours}`);
  }

  expect(await ended).toBe(0);
  expect(at).toBe(PAIRS);
  expect(different.slice(0, 10), `seed ${seed}`).toEqual([]);
  // Neither answer is a matter of course.
  expect(matched / PAIRS).toBeGreaterThan(0.1);
  expect(matched / PAIRS).toBeLessThan(0.9);
});

async function feed(
  input: NodeJS.WritableStream,
  pairs: readonly (readonly [pattern: string, image: string])[],
): Promise<void> {
  for (let from = 0; from < pairs.length; from += 10_000) {
    const lines = pairs.slice(from, from + 10_000).map(([pattern, image]) => `${pattern}\t${image}\n`);
    if (!input.write(lines.join(''))) await new Promise((resolve) => input.once('drain', resolve));
  }
  input.end();
}

/** Few different labels, so that many pairs nearly match; and the ones that look alike. */
const LABELS = ['a', 'b', 'ab', 'a-b', 'xn--a', '0', '1', '01', 'dkr', 'ecr', 'amazonaws', 'com', 'example'];
const PORTS = ['', '', '', ':443', ':5000', ':05000', ':80'];
const PATHS = ['app', 'team/app', 'a/b/c', 'com/app', 'v2/app'];
const ENDS = ['', ':1', ':latest', `@sha256:${'0'.repeat(64)}`];
const LITERALS = ['[::1]', '[fe80::1]', '10.0.0.1', '127.0.0.1', 'localhost'];

function generatePairs(seed: number): (readonly [pattern: string, image: string])[] {
  const random = mulberry32(seed);
  const oneOf = <Item>(items: readonly Item[]) => items[Math.floor(random() * items.length)] as Item;
  const isPattern = (text: string) => HostPattern.safeParse(text).success;
  const known = new Map<string, boolean>();
  const pairs: (readonly [string, string])[] = [];
  while (pairs.length < PAIRS) {
    const count = 2 + Math.floor(random() * 4);
    const labels = Array.from({ length: count }, () => oneOf(LABELS));
    const [port, otherPort] = [oneOf(PORTS), oneOf(PORTS)];
    const wild = labels.map((label) => (random() < 0.3 ? '*' : label));
    const pattern = (random() < 0.05 ? oneOf(LITERALS) : wild.join('.')) + port;
    if (!known.has(pattern)) known.set(pattern, isPattern(pattern));
    if (!known.get(pattern)) continue;
    // The very host, or one that differs a little: a label more, less or another, the port, upper case.
    const near = [...labels];
    const change = random();
    if (change < 0.1) near.splice(Math.floor(random() * count), 1);
    else if (change < 0.2) near.splice(Math.floor(random() * (count + 1)), 0, oneOf(LABELS));
    else if (change < 0.4) near[Math.floor(random() * count)] = oneOf(LABELS);
    else if (change < 0.45) near[0] = near[0]?.toUpperCase() ?? '';
    const name = random() < 0.05 ? oneOf(LITERALS) : near.join('.');
    const host = name + (random() < 0.85 ? port : otherPort);
    // Without a dot or a port it would be a folder on Docker Hub.
    if (!/[.:]/.test(host)) continue;
    pairs.push([pattern, `${host}/${oneOf(PATHS)}${oneOf(ENDS)}`]);
  }
  return pairs;
}

/** A small generator with a seed: https://github.com/bryc/code/blob/master/jshash/PRNGs.md#mulberry32 (public domain). */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
