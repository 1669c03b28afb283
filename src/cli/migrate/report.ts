// What migrate says beside its diff: what stays and why, what is left to people, and how success is proven.
import { printable } from '../printable.ts';
import type { Paint } from '../output.ts';
import type { MigrateResult } from '../migrate.ts';
import { PROOF } from './proof.ts';
import type { Advice } from './advice.ts';

/** Lines of added and removed text in colours; the file itself is shown as it is. */
export function paintedDiff(diff: string, paint: Paint): string {
  return diff
    .split('\n')
    .map((line) => {
      if (/^(?:---|\+\+\+) /.test(line)) return paint.strong(line);
      if (line.startsWith('+')) return paint.added(line);
      if (line.startsWith('-')) return paint.removed(line);
      return line.startsWith('@@') ? paint.faint(line) : line;
    })
    .join('\n');
}

export function reportText({ kept, advice, summary }: MigrateResult): string {
  const lines = kept.map(
    ({ kind, namespace, name, secret, reason, file, line }) =>
      `${placeText(file, line)}${kind} ${namespace}/${name} keeps ${secret}: ${reason}`,
  );
  lines.push(...advice.flatMap(adviceLines));
  const { changes, files, removed } = summary;
  const verb = summary.written ? 'made' : 'to make';
  lines.push(
    changes === 0
      ? 'nothing to change'
      : `${plural(changes, 'change')} ${verb} in ${plural(files, 'file')}, ${plural(removed, 'reference')} removed, ${kept.length} kept`,
  );
  if (removed > 0) lines.push(PROOF);
  return lines.map((line) => `${printable(line)}\n`).join('');
}

function adviceLines({ text, command, file, line }: Advice): string[] {
  const told = `${file === undefined ? '' : placeText(file, line ?? 1)}${text}`;
  return command === undefined ? [told] : [`${told}:`, `  ${command}`];
}

function placeText(file: string, line: number): string {
  return `${file}:${line}: `;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
