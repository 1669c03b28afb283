// What the watches have seen, from plain lists: the part of a cluster that admission reads.
import type { AccountLookup } from '../../src/cluster/account-lookup.ts';
import type { ClusterView } from '../../src/cluster/cluster.ts';
import type { AccountView, NamespaceView } from '../../src/core/pod-view.ts';
import type { PullCredentialRecord } from '../../src/core/pull-credential-record.ts';

export interface SeenObjects {
  namespaces: NamespaceView[];
  accounts: AccountView[];
  records: PullCredentialRecord[];
  unsynced: string[];
}

export function createAdmissionView(seen: Partial<SeenObjects> = {}): ClusterView & { seen: SeenObjects } {
  const all: SeenObjects = { namespaces: [], accounts: [], records: [], unsynced: [], ...seen };
  return {
    seen: all,
    namespace: (name) => all.namespaces.find((namespace) => namespace.name === name),
    namespaces: () => all.namespaces,
    accounts: () => all.accounts,
    account: (namespace, name) =>
      all.accounts.find((account) => account.namespace === namespace && account.name === name),
    record: (namespace, name) =>
      all.records.find((record) => record.namespace === namespace && record.name === name),
    recordsOf: (namespace, account) =>
      all.records.filter((record) => record.namespace === namespace && record.account === account),
    records: () => all.records,
    pods: () => [],
    unsynced: () => all.unsynced,
    onChange: () => () => undefined,
  };
}

/** Knows what the view knows; a live look finds nothing more. */
export function createBlindLookup(view: ClusterView): AccountLookup {
  return {
    account: async (namespace, name) => view.account(namespace, name),
    namespace: async (name) => view.namespace(name),
  };
}
