// What a reader must know of a report to read it rightly: what was not looked at, and what was assumed.
import type { AuditReport } from './report.ts';

export function notesOf({ summary }: AuditReport): string[] {
  const { withConfig, withSecrets, unproven, accountsNotSeen, notSeen, source } = summary;
  const notes: string[] = [];
  if (notSeen.length > 0) {
    const what = source === 'cluster' ? 'you may not list' : 'could not be read:';
    notes.push(`this is not all: ${what} ${notSeen.join(', ')}`);
  }
  if (notSeen.includes('secrets'))
    notes.push('--without-secrets does without Secrets: their types, ages and hosts are then not known');
  if (!withConfig) notes.push('no config: --config FILE says which rule covers what');
  if (!withSecrets) notes.push('Secrets were not looked at: the hosts of a finding are those of its images');
  if (accountsNotSeen > 0)
    notes.push(
      `${accountsNotSeen} ${accountsNotSeen === 1 ? 'ServiceAccount is' : 'ServiceAccounts are'} not in the input: what pods inherit there is not known`,
    );
  if (unproven > 0)
    notes.push(
      `${unproven} ${unproven === 1 ? 'reference has a name' : 'references have names'} of keyless-pull and passed for its own: --config FILE or the PullCredentials in the input would prove it`,
    );
  return notes;
}
