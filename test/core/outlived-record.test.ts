// Which records stand under a name that their account has given to another need.
import { expect, test } from 'vitest';
import { isOutlived } from '../../src/core/outlived-record.ts';
import { recordManifest, viewRecord } from '../../src/core/pull-credential-record.ts';
import { plannedOf } from '../fakes/builders.ts';
import { aRule, anAccount, type Raw } from './builders.ts';

const EU = '111122223333.dkr.ecr.eu-west-1.amazonaws.com';
const US = '111122223333.dkr.ecr.us-east-1.amazonaws.com';

const ecr = (change: Raw = {}) =>
  aRule({
    hosts: [EU, US],
    exchange: { kind: 'ecr' },
    parameters: { 'role-arn': { from: 'annotation', accept: ['imagepullsecrets.preferred.jp/*'] } },
    secretName: 'annotation',
    ...change,
  });

const account = (change: Record<string, string> = {}) =>
  anAccount(
    {},
    {
      annotations: {
        'imagepullsecrets.preferred.jp/registry': EU,
        'imagepullsecrets.preferred.jp/secret-name': 'login',
        'imagepullsecrets.preferred.jp/aws-role-arn': 'arn:aws:iam::111122223333:role/pull',
        ...change,
      },
    },
  );

/** As it was made for the account above under the rule above. */
const record = viewRecord(recordManifest(plannedOf(account(), ecr(), EU).need));

test.for([
  ['as long as the account says the same', account(), [ecr()], false],
  [
    'when it becomes another principal',
    account({ 'imagepullsecrets.preferred.jp/aws-role-arn': 'arn:aws:iam::111122223333:role/other' }),
    [ecr()],
    true,
  ],
  [
    'when it names another registry',
    account({ 'imagepullsecrets.preferred.jp/registry': US }),
    [ecr()],
    true,
  ],
  [
    'when it gives the need another name',
    account({ 'imagepullsecrets.preferred.jp/secret-name': 'pull' }),
    [ecr()],
    false,
  ],
  ['when its rule has another name', account(), [ecr({ name: 'next' })], true],
  ['when its rule is gone', account(), [], false],
  ['when another rule claims the name too', account(), [ecr({ name: 'next', hosts: [EU] }), ecr()], false],
  [
    'when the only other rule is for other accounts',
    account(),
    [ecr({ name: 'next', subjects: [{ serviceAccounts: ['somebody'] }] })],
    false,
  ],
] as const)('a record is outlived or not %s', ([_title, now, rules, isOver]) => {
  expect(isOutlived(record, now, {}, rules)).toBe(isOver);
});

test('a record under a computed name is outlived by nothing that its account says', () => {
  const computed = viewRecord(recordManifest(plannedOf(account(), ecr({ secretName: 'computed' }), EU).need));
  const other = account({ 'imagepullsecrets.preferred.jp/aws-role-arn': 'arn:aws:iam::111122223333:role/x' });

  expect(isOutlived(computed, other, {}, [ecr()])).toBe(false);
});
