// Which known name somebody meant, and when none is near enough to be named.
import { expect, test } from 'vitest';
import { nearestName } from '../../src/core/nearest-name.ts';

test.for<[written: string, known: string[], meant: string | undefined]>([
  ['rol-arn', ['role-arn', 'client-id'], 'role-arn'],
  ['role-arm', ['role-arn', 'client-id'], 'role-arn'],
  ['ecr-publc', ['ecr', 'ecr-public'], 'ecr-public'],
  ['robot', ['role-arn'], undefined],
  ['', ['ecr'], undefined],
  ['ecr', [], undefined],
])('of %j among %j is meant %j', ([written, known, meant]) => {
  expect(nearestName(written, known)).toBe(meant);
});
