// From what was collected to the report.
import { auditFindings } from './findings.ts';
import { createJudge, type JudgeWish } from './judge.ts';
import { identitiesOf, inventoryOf } from './inventory.ts';
import { usagesOf } from './usage.ts';
import type { AuditReport } from './report.ts';
import type { Collection } from './collection.ts';

export interface ReportWish extends JudgeWish {
  readonly source: 'cluster' | 'files';
  readonly withSecrets: boolean;
}

export function makeReport(collection: Collection, wish: ReportWish): AuditReport {
  const judge = createJudge(collection, wish);
  const { usages, unproven, accountsNotSeen } = usagesOf(collection, judge);
  const allSecretsSeen = wish.source === 'cluster' && wish.withSecrets && !wish.notSeen.includes('secrets');
  const findings = auditFindings(collection, usages, judge, { policy: wish.policy, allSecretsSeen });
  const open = findings.filter(({ exemption }) => !exemption);
  const inventory = inventoryOf(usages);
  const count = (what: (finding: (typeof open)[number]) => boolean) => open.filter(what).length;
  return {
    findings,
    inventory,
    identities: identitiesOf(collection, wish.rules ?? []),
    summary: {
      source: wish.source,
      looked: {
        namespaces: new Set([...collection.namespaces.keys(), ...usages.map(({ namespace }) => namespace)])
          .size,
        pods: collection.counts.pods,
        workloads: collection.workloads.size,
        serviceAccounts: collection.accounts.size,
        secrets: collection.secrets.size,
      },
      findings: open.length,
      exempt: findings.length - open.length,
      explicit: count(({ origin }) => origin === 'explicit'),
      inherited: count(({ origin }) => origin === 'inherited'),
      covered: count(({ covered }) => covered === true),
      secrets: new Set(open.map(({ namespace, secret }) => `${namespace}/${secret}`)).size,
      namespaces: new Set(open.map(({ namespace }) => namespace)).size,
      registries: inventory.length,
      withConfig: wish.rules !== undefined,
      withSecrets: wish.withSecrets,
      unproven,
      accountsNotSeen,
      notSeen: wish.notSeen,
    },
  };
}
