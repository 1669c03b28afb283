// A snapshot for people: what is not as it should be stands out, and the last line sums up.
import { alignColumns, type Paint } from '../output.ts';
import { printable, spanText } from '../printable.ts';
import { LONG_WAIT_SECONDS, type Snapshot, type WorkerLine } from './snapshot.ts';

export function tableOf(
  snapshot: Snapshot,
  wish: { readonly allNamespaces: boolean },
  now: number,
  paint: Paint,
): string {
  const { credentials, waiting, worker, notSeen } = snapshot;
  const parts: string[] = [];
  const withNamespace = (namespace: string, cells: readonly string[]) =>
    wish.allNamespaces ? [namespace, ...cells] : cells;
  if (credentials.length > 0) {
    const head = [
      'ACCOUNT',
      'RULE',
      'REGISTRY',
      'PRINCIPAL',
      'READY',
      'REASON',
      'EXPIRES IN',
      'RENEWS IN',
      'PROBLEM',
    ];
    const rows = credentials.map((line) =>
      withNamespace(line.namespace, [
        line.account,
        line.rule,
        line.registry,
        line.principal || '-',
        line.ready ? 'yes' : 'no',
        line.reason,
        untilText(line.expiresAt, now),
        untilText(line.refreshAt, now),
        line.message,
      ]),
    );
    const isBad = credentials.map(({ ready }) => !ready);
    parts.push(paintedTable([withNamespace('NAMESPACE', head), ...rows], isBad, paint));
  }
  if (waiting.length > 0) {
    const head = ['WAITING POD', 'ACCOUNT', 'FOR', 'BECAUSE'];
    const rows = waiting.map((pod) =>
      withNamespace(pod.namespace, [
        pod.name,
        pod.account,
        spanText(pod.waitedSeconds * 1000),
        pod.waitsFor.map(({ secret, registry, reason }) => `${registry || secret}: ${reason}`).join(', ') ||
          'its credentials are ready: the worker has to look',
      ]),
    );
    const isBad = waiting.map(({ waitedSeconds }) => waitedSeconds > LONG_WAIT_SECONDS);
    parts.push(paintedTable([withNamespace('NAMESPACE', head), ...rows], isBad, paint));
  }
  const told = [workerText(worker), ...notSeen.map((what) => `you may not see ${what}`)];
  parts.push([...told, paint.strong(summaryText(snapshot))].join('\n') + '\n');
  return parts.join('\n');
}

/** Colours go around whole lines: inside they would count as width. */
function paintedTable(rows: readonly (readonly string[])[], isBad: readonly boolean[], paint: Paint): string {
  const lines = alignColumns(rows.map((row) => row.map(printable)))
    .trimEnd()
    .split('\n');
  return lines
    .map((line, at) => `${at === 0 ? paint.strong(line) : isBad[at - 1] ? paint.removed(line) : line}\n`)
    .join('');
}

function untilText(timestamp: string | null, now: number): string {
  if (timestamp === null) return '-';
  const ms = Date.parse(timestamp) - now;
  return ms > 0 ? spanText(ms) : 'over';
}

export function workerText({ state, holder, renewedSecondsAgo }: WorkerLine): string {
  const ago = spanText((renewedSecondsAgo ?? 0) * 1000);
  switch (state) {
    case 'alive':
      return `worker: ${printable(holder)}, alive ${ago} ago`;
    case 'silent':
      return `no worker works: ${printable(holder)} was alive ${ago} ago, by this machine's clock`;
    case 'absent':
      return 'no worker works: nobody holds the Lease';
    case 'unknown':
      return 'worker: not known';
  }
}

function summaryText({ summary }: Snapshot): string {
  const { credentials, ready, waiting, waitingTooLong } = summary;
  const held = `${waiting} ${waiting === 1 ? 'pod waits' : 'pods wait'}`;
  const long = waitingTooLong > 0 ? `, ${waitingTooLong} for more than ${LONG_WAIT_SECONDS} s` : '';
  return `${ready} of ${credentials} ${credentials === 1 ? 'credential' : 'credentials'} ready, ${held}${long}`;
}
