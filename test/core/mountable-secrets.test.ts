// Which accounts the API server keeps to their own Secrets, and that their pods are given nothing that it would refuse.
import { describe, expect, test } from 'vitest';
import { enforcesMountableSecrets } from '../../src/core/mountable-secrets.ts';
import { aPod, anAccount, planOf } from './builders.ts';

const annotated = (value: string) =>
  anAccount({}, { annotations: { 'kubernetes.io/enforce-mountable-secrets': value } });
const needsOf = (account: ReturnType<typeof anAccount>) =>
  planOf(aPod(['registry.team.example/app']), {}, account).needs;

describe('mountable secrets', () => {
  test.for(['true', 'True', 'TRUE', 't', 'T', '1'])('are enforced where %j stands for true', (value) => {
    expect(enforcesMountableSecrets(annotated(value))).toBe(true);
    expect(needsOf(annotated(value))).toEqual([]);
  });

  test.for(['', 'yes', 'tRUE', ' true', 'false', '0'])('are not enforced where %j stands', (value) => {
    expect(enforcesMountableSecrets(annotated(value))).toBe(false);
    expect(needsOf(annotated(value))).toHaveLength(1);
  });

  test('are not enforced where nobody says so', () => {
    expect(enforcesMountableSecrets(anAccount())).toBe(false);
  });
});
