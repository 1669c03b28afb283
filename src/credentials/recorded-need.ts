// A record and the need that it is of.
import type { Need } from '../core/pull-credential.ts';
import type { PullCredentialRecord } from '../core/pull-credential-record.ts';

/** Under the digest that its record carries; today's comes with `plannedFor`. */
export function recordedNeedOf(record: PullCredentialRecord): Need {
  return {
    identity: { namespace: record.namespace, account: record.account, uid: record.accountUid },
    rule: record.rule,
    principal: record.principal,
    host: record.host,
    secretName: record.secretName,
    digest: record.status?.digest ?? '',
  };
}

export function recordNameOf({ identity, secretName }: Need): string {
  return `${identity.namespace}/${secretName}`;
}
