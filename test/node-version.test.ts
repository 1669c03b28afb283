// An older Node is told which one is needed; package.json and the program name the same.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import manifest from '../package.json' with { type: 'json' };
import { whyNodeIsTooOld } from '../src/node-version.ts';

test('the oldest Node that runs us is the one that package.json names', () => {
  const [, oldest = ''] = /^>=(\d+\.\d+)$/.exec(manifest.engines.node) ?? [];
  const [major = 0, minor = 0] = oldest.split('.').map(Number);

  expect(whyNodeIsTooOld(`${oldest}.0`)).toBeUndefined();
  expect(whyNodeIsTooOld(`${major + 1}.0.0`)).toBeUndefined();
  expect(whyNodeIsTooOld(`${major}.${minor - 1}.9`)).toContain(`needs Node ${oldest} or later`);
  expect(whyNodeIsTooOld('20.20.2')).toContain('this is Node 20.20.2');
});

test('programs load nothing but that question before it is answered', () => {
  const programs = Object.values(manifest.bin).map((path) => path.replace(/^dist\/(.*)\.js$/, 'src/$1.ts'));

  for (const program of ['src/main.ts', ...programs]) {
    const loaded = [...readFileSync(program, 'utf8').matchAll(/^import .* from '(.*)';$/gm)];
    expect(
      loaded.map(([, path = '']) => path.replace(/^(\.\.?\/)+/, '')),
      program,
    ).toEqual(['node-version.ts']);
  }
});
