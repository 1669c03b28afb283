// What the Dockerfile says is said in other places too, and none of it belongs to one architecture. The image itself is built
// and run by `npm run test:long`.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const dockerfile = readFileSync('Dockerfile', 'utf8');
const textOf = (path: string) => readFileSync(path, 'utf8');

test('nothing in it knows an architecture', () => {
  for (const text of [dockerfile, textOf('tools/image/runtime-files.ts'), textOf('tools/image/warm-up.ts')])
    expect(text).not.toMatch(/amd64|x86|x64|arm64|aarch64/i);
});

test('the code is compiled with the flags and by the user that it runs with', () => {
  const [, entryPoint = '[]'] = /^ENTRYPOINT (.*)$/m.exec(dockerfile) ?? [];
  const [, compiled = ''] = /^RUN NODE_COMPILE_CACHE=(?:\S+) node (.*)$/m.exec(dockerfile) ?? [];
  const flags = (words: readonly string[]) => words.filter((word) => word.startsWith('--'));
  const users = [...dockerfile.matchAll(/^USER (.*)$/gm)].map(([, user]) => user);

  expect(flags(compiled.split(' '))).toEqual(flags(JSON.parse(entryPoint) as string[]));
  expect(flags(compiled.split(' '))).not.toEqual([]);
  expect(users).toEqual(['65532:65532', '0:0', '65532:65532']);
  const folders = [...dockerfile.matchAll(/NODE_COMPILE_CACHE=(\S+)/g)].map(([, folder]) => folder);
  expect(new Set(folders)).toEqual(new Set(['/app/.compile-cache']));
});

test('a release builds on the base that the Dockerfile names', () => {
  const [, base] = /^ARG BASE=(.*)$/m.exec(dockerfile) ?? [];

  expect(textOf('.github/workflows/release.yaml')).toContain(`BASE: ${base}\n`);
});

test('all that is copied into it is let in, and nothing besides', () => {
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.*) \S+$/gm)].flatMap(([, words = '']) =>
    words.split(' '),
  );
  const allowed = textOf('.dockerignore')
    .split('\n')
    .filter((line) => line.startsWith('!'));
  const isAllowed = (path: string) => allowed.some((line) => path.startsWith(line.slice(1)));

  expect(copied.filter((path) => !isAllowed(path))).toEqual([]);
  expect(allowed).toHaveLength(5);
});
