// Rules as a file has them, right in themselves, for tests of what is wrong with a rule or with several together.
import { crossFaults } from '../src/cross-faults.ts';
import { families } from '../src/registry/families.ts';

export type Raw = Readonly<Record<string, unknown>>;

export const TEAM: Raw = {
  name: 'team',
  hosts: ['registry.team.example'],
  audience: 'https://registry.team.example',
  exchange: { kind: 'pass-through' },
};
export const ROLE = { from: 'annotation' };
export const AWS: Raw = {
  name: 'aws',
  hosts: ['111122223333.dkr.ecr.eu-west-1.amazonaws.com'],
  audience: 'aws.team.example',
  exchange: { kind: 'ecr' },
  parameters: { 'role-arn': ROLE },
};
const GUIDS = {
  'client-id': { from: 'annotation' },
  'tenant-id': { from: 'rule', value: '11111111-2222-3333-4444-555555555555' },
};
export const AZURE: Raw = {
  name: 'azure',
  hosts: ['shopregistry.azurecr.io'],
  audience: 'azure.team.example',
  exchange: { kind: 'acr' },
  parameters: GUIDS,
};
export const STS: Raw = {
  name: 'sts',
  hosts: ['registry.team.example'],
  audience: 'sts.team.example',
  exchange: { kind: 'token-exchange', endpoint: 'https://sts.team.example/token' },
};
export const QUAY: Raw = {
  name: 'quay',
  hosts: ['quay.io'],
  audience: 'quay.team.example',
  exchange: { kind: 'quay' },
  parameters: { robot: { from: 'annotation' } },
};

/** Faults as `path: sentence`, the path from the one rule on where there is but one. */
export function faultsOf(...rules: readonly unknown[]): string[] {
  return crossFaults({ rules }, families).map(({ path, message }) => {
    const from = rules.length === 1 ? path.slice(2) : path.slice(1);
    return `${from.join('.')}: ${message}`;
  });
}
