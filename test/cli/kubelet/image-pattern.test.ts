// Which images a pattern speaks of, and which patterns speak of none.
import { expect, test } from 'vitest';
import {
  isParseable,
  patternMatches,
  whySurprising,
  whyNeverMatches,
} from '../../../src/cli/kubelet/image-pattern.ts';

test.for<[pattern: string, image: string, isMatch: boolean]>([
  ['reg.io', 'reg.io/app', true],
  ['*.reg.io', 'a.reg.io/app', true],
  ['*.reg.io', 'a.b.reg.io/app', false],
  ['*.reg.io', 'reg.io/app', false],
  ['*.*.reg.io', 'a.b.reg.io/app', true],
  ['r*.io', 'reg.io/app', true],
  ['reg.io', 'reg.io:5000/app', false],
  ['reg.io:5000', 'reg.io/app', false],
  ['reg.io:5000', 'reg.io:5000/app', true],
  ['reg.io/team', 'reg.io/team-b/app', true],
  ['reg.io/team/', 'reg.io/team-b/app', false],
  ['reg.io/team/', 'reg.io/team/app', true],
  ['*.reg.io/*', 'a.reg.io/app', false],
  ['https://reg.io', 'reg.io/app', false],
  ['*', 'localhost/app', true],
  ['reg.io/te?m', 'reg.io/team/app', true],
])('%s, %s: %s', ([pattern, image, isMatch]) => {
  expect(patternMatches(pattern, image)).toBe(isMatch);
});

test.for<[string, string]>([
  ['*.reg.io/*', 'a path is compared letter by letter'],
  ['reg.io:*', 'a port is compared letter by letter'],
  ['https://reg.io', 'an image name has no scheme'],
  ['oci://reg.io', 'an image name has no scheme'],
  ['reg.io/app:1', 'no tag and no digest'],
  ['reg.io/app@sha256:0', 'no tag and no digest'],
  ['reg.io/App', 'lower case'],
])('%s never matches', ([pattern, why]) => {
  expect(whyNeverMatches(pattern)).toContain(why);
});

test.for([
  'reg.io',
  '*.reg.io',
  'reg.io:5000',
  'reg.io/team/',
  'reg.io/team',
  '*.dkr.ecr.*.amazonaws.com',
  '*:5000',
])('%s may match', (pattern) => {
  expect(whyNeverMatches(pattern)).toBeUndefined();
});

test('a path that does not end with a slash is said to match more', () => {
  expect(whySurprising('reg.io/team')).toContain('team-other');
  expect(whySurprising('**.reg.io')).toContain('stands for one label');
  expect(whySurprising('*')).toContain('stands for one label');
  expect(whySurprising('reg.io/te?m')).toContain('is not compared with anything');
  expect([whySurprising('reg.io/team/'), whySurprising('reg.io')]).toEqual([undefined, undefined]);
});

test('what Go cannot read as a URL is known', () => {
  expect(['reg.io:x', 'reg io', 'reg.io/%zz', 'reg.io:5000', '*.a/*'].map(isParseable)).toEqual([
    false,
    false,
    false,
    true,
    true,
  ]);
});
