// A credential that a case says is known, as the record that the webhook's watch would have seen.
import { principalsOf } from '../../core/identity-parameters.ts';
import { digestOf } from '../../core/pull-credential.ts';
import { secretNameFor } from '../../core/pull-secret.ts';
import type { AccountView, PodView } from '../../core/pod-view.ts';
import type { PullCredentialRecord, RecordStatus } from '../../core/pull-credential-record.ts';
import type { RegistryRule } from '../../core/registry-rule.ts';
import type { ProblemCode } from '../../problem.ts';
import type { Known } from './case-header.ts';

export function knownRecord(
  entry: Known,
  pod: Pick<PodView, 'namespace' | 'serviceAccount'>,
  accounts: readonly AccountView[],
  rules: readonly RegistryRule[],
  now: number,
): PullCredentialRecord {
  const name = entry.account ?? pod.serviceAccount;
  const rule = rules.find((candidate) => candidate.name === entry.rule);
  const secretName = secretNameFor(name, entry.rule, entry.principal, entry.registry);
  const account = accounts.find((candidate) => candidate.name === name);
  const isReady = entry.standing !== 'refused';
  const status: RecordStatus = {
    isReady,
    // A case may name a code that this version does not know: it is only shown.
    reason: isReady ? 'issued' : (entry.code as ProblemCode),
    message: isReady ? '' : entry.message,
    changedAt: now,
    issuedAt: now,
    expiresAt: now + (entry.standing === 'last-minute' ? 59_000 : 3_600_000),
    refreshAt: now + 30_000,
    digest: rule && entry.standing !== 'other-rule' ? digestFor(rule, account, entry) : 'of-another-rule',
    tokenId: '',
    secretUid: '',
  };
  return {
    namespace: pod.namespace,
    name: secretName,
    uid: 'record-uid',
    resourceVersion: '1',
    isDeleting: false,
    account: name,
    accountUid: entry.standing === 'other-account' ? 'uid-of-an-earlier-life' : (account?.uid ?? ''),
    rule: entry.rule,
    principal: entry.principal,
    host: entry.registry,
    secretName,
    status,
  };
}

function digestFor(rule: RegistryRule, account: AccountView | undefined, entry: Known): string {
  const { principals } = principalsOf(rule, account ?? { name: '', annotations: {} }, entry.registry);
  return principals.find(({ name }) => name === entry.principal)?.digest ?? digestOf(rule);
}
