// What npm test draws: the same each time, and something else when it is asked to.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { readConfigureGlobal } from 'fast-check';
import { expect, test } from 'vitest';

const SETUP = fileURLToPath(new URL('property-seed.ts', import.meta.url));
const PROGRAM = `
  const { readConfigureGlobal } = await import('fast-check');
  await import(process.argv[1]);
  console.log(readConfigureGlobal().seed);
`;

function seedOf(asked?: string) {
  const { PROPERTY_SEED: _ours, ...env } = process.env;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', PROGRAM, SETUP], {
    encoding: 'utf8',
    env: asked === undefined ? env : { ...env, PROPERTY_SEED: asked },
  });
}

test('every file of this project runs with a seed', () => {
  expect(readConfigureGlobal()?.seed).toBe(Number(process.env['PROPERTY_SEED'] ?? 1));
});

test('the seed is 1, or what PROPERTY_SEED says', () => {
  expect(seedOf().stdout).toBe('1\n');
  expect(seedOf('-1408283212').stdout).toBe('-1408283212\n');
});

test('what is no number is refused, for every text would be the same seed', () => {
  for (const asked of ['', 'random']) {
    const { status, stderr } = seedOf(asked);

    expect(status).not.toBe(0);
    expect(stderr).toContain(`PROPERTY_SEED is a whole number, not "${asked}"`);
  }
});
