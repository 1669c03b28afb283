// A report for people at a terminal: what is static, how every registry is reached, whom other tools have annotated, a summary.
import { alignColumns, type Paint } from '../output.ts';
import { printable, spanText } from '../printable.ts';
import { notesOf } from './notes.ts';
import { WAYS, type AuditFinding, type AuditReport, type InventoryLine } from './report.ts';

export function tableOf(report: AuditReport, now: number, paint: Paint): string {
  const { findings, inventory, identities } = report;
  const parts = [
    tableFor(
      ['NAMESPACE', 'OBJECT', 'SECRET', 'ORIGIN', 'HOSTS', 'RULE', 'AGE', 'OTHERS', 'PODS', 'MISSING'],
      findings.map((finding) => rowOf(finding, now)),
      paint,
    ),
    tableFor(
      ['REGISTRY', 'PODS', 'OBJECTS', 'EXPLICIT', 'INHERITED', 'NONE OR NODE', 'KEYLESS', 'RULE'],
      inventory.map(inventoryRow),
      paint,
    ),
    tableFor(
      ['NAMESPACE', 'ACCOUNT', 'CLOUD', 'ANNOTATION', 'ACCEPTED BY', 'COULD BE BY'],
      identities.map((line) => [
        line.namespace,
        line.account,
        line.cloud,
        line.annotation,
        line.acceptedBy.join(', ') || '-',
        line.couldBeAcceptedBy.join(', ') || '-',
      ]),
      paint,
    ),
  ];
  const notes = notesOf(report).map((note) => `${printable(note)}\n`);
  return [
    ...parts.filter((part) => part !== ''),
    [...notes, paint.strong(summaryText(report)), '\n'].join(''),
  ].join('\n');
}

function tableFor(head: readonly string[], rows: readonly (readonly string[])[], paint: Paint): string {
  if (rows.length === 0) return '';
  const [first = '', ...lines] = alignColumns([head, ...rows.map((row) => row.map(printable))])
    .trimEnd()
    .split('\n');
  return `${[paint.strong(first), ...lines].join('\n')}\n`;
}

function rowOf(finding: AuditFinding, now: number): string[] {
  const { exemption, secretState } = finding;
  return [
    finding.namespace,
    objectText(finding),
    finding.secret + (secretState === 'absent' ? ' (does not exist)' : ''),
    finding.origin + (exemption ? ` (exempt until ${exemption.until})` : ''),
    finding.hosts.join(' ') || '-',
    finding.covered === null ? '?' : finding.covered ? 'yes' : 'no',
    ageText(finding.secretCreatedAt, now),
    String(finding.usedByOthers),
    String(finding.pods),
    finding.missing.join('; ') || 'nothing',
  ];
}

/** `Deployment/web`, and who owns it where that is another. */
export function objectText({ kind, name, owner }: Pick<AuditFinding, 'kind' | 'name' | 'owner'>): string {
  const itself = `${kind}/${name}`;
  return owner === null || owner === itself ? itself : `${itself} (of ${owner})`;
}

const DAY_MS = 86_400_000;

export function ageText(createdAt: string | null, now: number): string {
  if (createdAt === null) return '-';
  const age = now - Date.parse(createdAt);
  return age < 2 * DAY_MS ? spanText(age) : `${Math.floor(age / DAY_MS)}d`;
}

function inventoryRow(line: InventoryLine): string[] {
  const ways = WAYS.map((way) => String(line.ways[way].workloads));
  const rule = line.rules.join(', ') || (line.impossible === null ? '-' : 'none is possible');
  return [line.host, String(line.pods), String(line.workloads), ...ways, rule];
}

export function summaryText({ summary }: AuditReport): string {
  const { findings, exempt, secrets, namespaces, looked } = summary;
  const count = (number: number, one: string, many: string) => `${number} ${number === 1 ? one : many}`;
  const objects = looked.workloads + looked.serviceAccounts + looked.pods;
  const found =
    findings === 0
      ? 'no static pull secret'
      : `${count(findings, 'finding', 'findings')}: ${count(secrets, 'static pull secret', 'static pull secrets')} in ${count(namespaces, 'namespace', 'namespaces')}`;
  const passed = exempt > 0 ? `, ${exempt} exempt` : '';
  return `${found}${passed}; looked at ${count(objects, 'workload, account and pod', 'workloads, accounts and pods')}`;
}
