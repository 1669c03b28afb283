// Which parameters a rule may and must set, by its family; each fault with its exact place and sentence.
import { describe, expect, test } from 'vitest';
import { crossFaults } from '../src/cross-faults.ts';
import { families } from '../src/registry/families.ts';
import { AWS, AZURE, faultsOf, QUAY, ROLE, TEAM, type Raw } from './cross-fault-rules.ts';

describe('a rule', () => {
  test.for<[string, Raw, string[]]>([
    [
      'sets no parameter that its family does not know',
      { ...AWS, parameters: { 'role-arn': ROLE, role: ROLE, constructor: ROLE } },
      [
        'parameters.role: ecr has the parameters role-arn',
        'parameters.constructor: ecr has the parameters role-arn',
      ],
    ],
    [
      'sets no parameter where there is none',
      { ...TEAM, parameters: { robot: ROLE } },
      ['parameters.robot: pass-through has no parameters'],
    ],
    [
      'sets every parameter that its family needs',
      { ...AZURE, parameters: {} },
      [
        'parameters: acr needs client-id: say { from: annotation } or { from: rule, value: … }',
        'parameters: acr needs tenant-id: say { from: annotation } or { from: rule, value: … }',
      ],
    ],
    [
      'needs parameters at all where its family does',
      { ...QUAY, parameters: undefined },
      ['parameters: quay needs robot: say { from: annotation } or { from: rule, value: … }'],
    ],
    [
      'has good values, and its bad ones are not repeated',
      {
        ...AZURE,
        parameters: {
          'client-id': { from: 'annotation', value: 'hunter2' },
          'tenant-id': { from: 'rule', value: 'team.example' },
        },
      },
      [
        'parameters.client-id.value: client-id looks like a GUID',
        'parameters.tenant-id.value: tenant-id looks like a GUID',
      ],
    ],
    [
      'may have several principals',
      { ...QUAY, parameters: { robot: { from: 'rule', value: 'shop+one, shop+two' } } },
      [],
    ],
    [
      'has each of its principals right',
      { ...QUAY, parameters: { robot: { from: 'rule', value: 'shop+one, two' } } },
      ['parameters.robot.value: robot looks like organization+name'],
    ],
    [
      'has 16 principals at most',
      {
        ...QUAY,
        parameters: {
          robot: { from: 'rule', value: Array.from({ length: 17 }, (_, at) => `shop+r${at}`).join() },
        },
      },
      ['parameters.robot.value: robot lists 16 at most'],
    ],
    [
      'has no empty value',
      { ...QUAY, parameters: { robot: { from: 'rule', value: '' } } },
      ['parameters.robot.value: robot looks like organization+name'],
    ],
  ])('%s', ([, rule, faults]) => {
    expect(faultsOf(rule)).toEqual(faults);
  });

  test('says by itself where tokens are sent: no annotation can', () => {
    const parameters = {
      domain: { means: '', pattern: /^[a-z.]+$/, looksLike: 'a domain', isRulesAlone: true },
    };
    const known = { ...families, ours: { parameters, endpoints: [], receiver: 'ours', tokenSeconds: 600 } };
    const rule = { ...TEAM, exchange: { kind: 'ours' }, parameters: { domain: { from: 'annotation' } } };

    expect(crossFaults({ rules: [rule] }, known)).toEqual([
      {
        path: ['rules', 0, 'parameters', 'domain', 'from'],
        message: "domain is the administrator's to say: write from: rule",
      },
    ]);
    expect(
      crossFaults(
        { rules: [{ ...rule, parameters: { domain: { from: 'rule', value: 'a.example' } } }] },
        known,
      ),
    ).toEqual([]);
  });
});
