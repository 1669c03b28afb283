// What the watches of a webhook have seen when it is warm: the pod's namespace, its account, and its credential, ready.
import { viewAccount, viewNamespace } from '../../src/core/pod-view.ts';
import type { PullCredentialRecord } from '../../src/core/pull-credential-record.ts';
import type { RegistryRule } from '../../src/core/registry-rule.ts';
import type { ClusterView } from '../../src/cluster/cluster.ts';
import { ACCOUNT_MANIFEST, NAMESPACE_MANIFEST, needOfPod } from './review.ts';

/** Longer than any run. */
const LIFE_MS = 24 * 3600 * 1000;

/** Maps by key, as the watches hold them. */
export function createWarmView(rules: readonly RegistryRule[], now: number): ClusterView {
  const namespace = viewNamespace(NAMESPACE_MANIFEST);
  const account = viewAccount(ACCOUNT_MANIFEST);
  const keyOf = (object: { readonly namespace: string; readonly name: string }) =>
    `${object.namespace}/${object.name}`;
  const namespaces = new Map([[namespace.name, namespace]]);
  const accounts = new Map([[keyOf(account), account]]);
  const records = new Map(
    rules.map((rule) => readyRecord(rule, now)).map((record) => [keyOf(record), record]),
  );
  return {
    namespace: (name) => namespaces.get(name),
    namespaces: () => namespaces.values(),
    accounts: () => accounts.values(),
    account: (inNamespace, name) => accounts.get(`${inNamespace}/${name}`),
    record: (inNamespace, name) => records.get(`${inNamespace}/${name}`),
    recordsOf: () => [...records.values()],
    records: () => records.values(),
    pods: () => [],
    unsynced: () => [],
    onChange: () => () => undefined,
  };
}

function readyRecord(rule: RegistryRule, now: number): PullCredentialRecord {
  const need = needOfPod(rule);
  return {
    namespace: need.identity.namespace,
    name: need.secretName,
    uid: 'a3d0c8a4-5f6b-4c35-8b6e-1d2f3a4b5c6d',
    resourceVersion: '4711',
    isDeleting: false,
    account: need.identity.account,
    accountUid: need.identity.uid,
    rule: need.rule,
    principal: need.principal,
    host: need.host,
    secretName: need.secretName,
    status: {
      isReady: true,
      reason: 'issued',
      message: '',
      changedAt: now,
      issuedAt: now,
      expiresAt: now + LIFE_MS,
      refreshAt: now + 0.65 * LIFE_MS,
      digest: need.digest,
      tokenId: '',
      secretUid: '',
    },
  };
}
