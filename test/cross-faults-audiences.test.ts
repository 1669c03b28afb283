// Rules together: names and hosts of their own, and audiences that nobody could replay a token with.
import { describe, expect, test } from 'vitest';
import { AWS, AZURE, faultsOf, QUAY, STS, TEAM, type Raw } from './cross-fault-rules.ts';

describe('rules together', () => {
  const replay = (name: string) =>
    `rule ${name} uses the same audience: a registry that is given the token itself could replay it there`;
  const shared = { audience: 'shared' };
  const public_ = { ...AWS, name: 'public', hosts: ['public.ecr.aws'], exchange: { kind: 'ecr-public' } };
  const stsAt = (name: string, exchange: Raw) => ({
    ...STS,
    ...shared,
    name,
    hosts: [`${name}.team.example`],
    exchange: { kind: 'token-exchange', ...exchange },
  });

  test.for<[string, Raw[], string[]]>([
    [
      'have names and hosts of their own',
      [TEAM, { ...TEAM, audience: 'other', hosts: ['other.example', 'registry.team.example'] }],
      ['1.name: another rule is called team', '1.hosts.1: rule team has the same host'],
    ],
    [
      'that hand out tokens share no audience',
      [TEAM, { ...QUAY, audience: TEAM['audience'] }],
      [`0.audience: ${replay('quay')}`, `1.audience: ${replay('team')}`],
    ],
    [
      'of one kind that hands out tokens share none, either',
      [
        { ...QUAY, ...shared },
        { ...QUAY, ...shared, name: 'own', hosts: ['quay.team.example'] },
      ],
      [`0.audience: ${replay('own')}`, `1.audience: ${replay('quay')}`],
    ],
    [
      'of two clouds share none',
      [
        { ...AWS, ...shared },
        { ...AZURE, ...shared },
      ],
      [`0.audience: ${replay('azure')}`, `1.audience: ${replay('aws')}`],
    ],
    [
      'of one cloud may share one',
      [
        { ...AWS, ...shared },
        { ...public_, ...shared },
      ],
      [],
    ],
    [
      'of one cloud share none if one of them sends its tokens elsewhere',
      [
        { ...AWS, ...shared },
        { ...public_, ...shared, exchange: { kind: 'ecr-public', endpoint: 'https://gateway.example' } },
      ],
      [`0.audience: ${replay('public')}`, `1.audience: ${replay('aws')}`],
    ],
    [
      'of one cloud share none if one of them names another token service',
      [
        { ...AWS, ...shared },
        {
          ...public_,
          ...shared,
          exchange: { kind: 'ecr-public', endpoints: { sts: 'https://gateway.example' } },
        },
      ],
      [`0.audience: ${replay('public')}`, `1.audience: ${replay('aws')}`],
    ],
    [
      'of one cloud may share one if another service is replaced, which is not given the token',
      [
        { ...AWS, ...shared, exchange: { kind: 'ecr', endpoints: { api: 'https://vpce.example' } } },
        { ...public_, ...shared },
      ],
      [],
    ],
    [
      'of one token service may share one',
      [
        stsAt('one', { endpoint: 'https://sts.team.example/token' }),
        stsAt('two', { endpoints: { token: 'https://sts.team.example/token' } }),
      ],
      [],
    ],
    [
      'of two token services share none',
      [
        stsAt('one', { endpoint: 'https://sts.team.example/token' }),
        stsAt('two', { endpoint: 'https://other.example/token' }),
      ],
      [`0.audience: ${replay('two')}`, `1.audience: ${replay('one')}`],
    ],
    [
      'of two token services share none, however those are named',
      [
        stsAt('one', { endpoints: { token: 'https://sts.team.example/token' } }),
        stsAt('two', { endpoints: { token: 'https://other.example/token' } }),
      ],
      [`0.audience: ${replay('two')}`, `1.audience: ${replay('one')}`],
    ],
    [
      'do not accept the audience of another',
      [AWS, { ...AZURE, acceptAudiences: ['old.team.example', 'aws.team.example'] }],
      [`0.audience: ${replay('azure')}`, `1.acceptAudiences.1: ${replay('aws')}`],
    ],
    [
      'do not accept one audience',
      [
        { ...AWS, acceptAudiences: ['old'] },
        { ...AZURE, acceptAudiences: ['old'] },
      ],
      [`0.acceptAudiences.0: ${replay('azure')}`, `1.acceptAudiences.0: ${replay('aws')}`],
    ],
    [
      'of one cloud may accept one audience',
      [
        { ...AWS, acceptAudiences: ['sts.amazonaws.com'] },
        { ...public_, audience: 'sts.amazonaws.com' },
      ],
      [],
    ],
    [
      'share none with a rule whose kind nobody knows',
      [TEAM, { ...TEAM, name: 'other', hosts: ['other.example'], exchange: { kind: 'magic' } }],
      [`0.audience: ${replay('other')}`],
    ],
  ])('%s', ([, rules, faults]) => {
    expect(faultsOf(...rules)).toEqual(faults);
  });
});
