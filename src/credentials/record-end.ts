// How records end: nobody has used them for long, their account is gone or gives their name to another need, their namespace
// has left. The Secret goes along, by its owner. What no rule covers any more is told once and lives out its time.
import { injectionOf, type AccountView, type PodView } from '../core/pod-view.ts';
import { isOutlived } from '../core/outlived-record.ts';
import { prewarmedNeeds } from '../core/prewarm.ts';
import { ruleCovers, type RegistryRule } from '../core/registry-rule.ts';
import { isProblem, Problem } from '../problem.ts';
import { recordedNeedOf } from './recorded-need.ts';
import { whileLeading } from './leader.ts';
import { createStatusWriter } from './status-writer.ts';
import type { Caretaking, CaretakerTools, EndReason } from './caretaker.ts';
import type { PullCredentialRecord } from '../core/pull-credential-record.ts';

/** The garbage collector is faster, and a label that is replaced is away for a moment. */
const SETTLED_MS = 5_000;
const LOOK_MS = 5_000;
/** The more there are, the more seldom they are looked at, while no account goes and no namespace or rule changes. */
const MS_PER_RECORD = 60;
const LONGEST_PAUSE_MS = 600_000;
/** Who takes over goes on counting from what the record says; jobs that run every hour need no such writes. */
const WRITTEN_DOWN_MS = 3_600_000;
/** Pods that are replaced one after the other may be a moment without one that names it. */
const LEFT_TO_NODES_MS = 600_000;
const CALL_MS = 30_000;

type Work = () => Promise<void>;

export function createRecordEnd(tools: CaretakerTools): Caretaking {
  const { cluster, issuer, clock, log, settings, isLeading, onRecordEnd } = tools;
  const { view } = cluster;
  const options = () => whileLeading(isLeading, clock, CALL_MS);
  const status = createStatusWriter({ cluster, clock, options });
  /** By the record's uid and what is the matter with it: since when. */
  let since = new Map<string, number>();
  let lookedAt = -LOOK_MS;
  let lookAt = -Infinity;
  let lookedUnder: readonly RegistryRule[] = [];
  /** Named by pods that have come or changed since: a job may be over by the next look. */
  const used = new Set<string>();

  async function end(record: PullCredentialRecord, reason: EndReason): Promise<void> {
    const { namespace, name, account: serviceAccount, rule } = record;
    // Of a thousand one goes after the other: the label may be back.
    if (reason === 'namespace-left' && injectionOf(view.namespace(namespace)) !== 'off') return;
    await cluster.deleteRecord(record, options()).catch((error: unknown) => {
      // Somebody was faster, or a new life of it is there.
      if (!isProblem(error, 'cluster-missing', 'cluster-conflict')) throw error;
    });
    onRecordEnd?.(reason);
    log.info({ namespace, name, serviceAccount, rule, reason }, 'record deleted');
  }

  async function endOrphan(record: PullCredentialRecord): Promise<void> {
    // The watch of accounts may be behind that of records.
    const living = await cluster.findAccount(record.namespace, record.account, options());
    if (living?.uid !== record.accountUid) await end(record, 'account-gone');
  }

  async function endUnused(record: PullCredentialRecord): Promise<void> {
    const { namespace, name, secretName } = record;
    const pods = await cluster.findPods(namespace, options());
    if (pods.some(({ pullSecrets }) => pullSecrets.includes(secretName))) {
      since.set(`${record.uid} unused`, clock.now());
      if (record.status?.unusedSince) await writeUnused(record, 0);
    } else if (
      !namedSecrets().has(`${namespace}/${secretName}`) &&
      view.record(namespace, name)?.uid === record.uid
    ) {
      await end(record, 'unused');
    }
  }

  async function writeUnused(record: PullCredentialRecord, unusedSince: number): Promise<void> {
    const { status: before } = record;
    if (before) await status.write(record, (now) => ({ ...(now.status ?? before), unusedSince }));
  }

  async function tellUncovered(record: PullCredentialRecord): Promise<void> {
    const { namespace, account, accountUid, host, rule } = record;
    const until = new Date(record.status?.expiresAt ?? 0).toISOString();
    const message = `rule ${rule} is no more, or no longer covers ${host} for this account: the credential is good until ${until} and is not renewed`;
    await issuer.report(recordedNeedOf(record), new Problem('rule-unknown', message));
    log.warn({ namespace, serviceAccount: account, rule, registry: host }, 'credential without a rule');
    const regarding = { kind: 'ServiceAccount', namespace, name: account, uid: accountUid } as const;
    cluster.emit({ reason: 'RuleUnknown', type: 'Warning', note: message, regarding });
  }

  function namedSecrets(): Set<string> {
    const named = new Set(used);
    for (const pod of view.pods()) addSecretsOf(pod, named);
    return named;
  }

  function isPrewarmed(record: PullCredentialRecord, account: AccountView): boolean {
    const rule = isCovered(record) ? ruleNamed(record.rule) : undefined;
    const needs = rule ? prewarmedNeeds(rule, account) : [];
    return needs.some(({ need }) => need.secretName === record.secretName);
  }

  function isCovered(record: PullCredentialRecord): boolean {
    const rule = ruleNamed(record.rule);
    return rule !== undefined && ruleCovers(rule, record, view.namespace(record.namespace)?.labels ?? {});
  }

  function ruleNamed(name: string): RegistryRule | undefined {
    return settings().rules.find((one) => one.name === name);
  }

  const isGivenAway = (record: PullCredentialRecord, account: AccountView) =>
    isOutlived(record, account, view.namespace(record.namespace)?.labels ?? {}, settings().rules);

  /** Where nodes serve all new pods, nobody comes back to a Secret: it was to be the last one. */
  function unusedMsOf({ rule }: PullCredentialRecord): number {
    const asked = settings().unusedHours * 3_600_000;
    return ruleNamed(rule)?.delivery.includes('secret') === false ? Math.min(asked, LEFT_TO_NODES_MS) : asked;
  }

  /** What is to be done about a record, if anything; `lasted` says how long it is so. */
  function workFor(
    record: PullCredentialRecord,
    named: ReadonlySet<string>,
    lasted: (what: string) => number,
  ): Work | undefined {
    const namespace = view.namespace(record.namespace);
    // A namespace that ends takes everything along by itself.
    if (record.isDeleting || !namespace || namespace.isTerminating) return undefined;
    if (injectionOf(namespace) === 'off')
      return lasted('left') >= SETTLED_MS ? () => end(record, 'namespace-left') : undefined;
    const account = view.account(record.namespace, record.account);
    if (account?.uid !== record.accountUid)
      return lasted('orphaned') >= SETTLED_MS ? () => endOrphan(record) : undefined;
    if (isGivenAway(record, account)) return () => end(record, 'superseded');
    const { status: now } = record;
    if (now?.isReady && now.reason !== 'rule-unknown' && clock.now() < now.expiresAt && !isCovered(record))
      return () => tellUncovered(record);
    const written = now?.unusedSince ?? 0;
    if (named.has(`${record.namespace}/${record.secretName}`) || isPrewarmed(record, account))
      return written > 0 ? () => writeUnused(record, 0) : undefined;
    const unusedFor = Math.max(lasted('unused'), written > 0 ? clock.now() - written : 0);
    if (unusedFor >= unusedMsOf(record)) return () => endUnused(record);
    if (written === 0 && now && unusedFor >= WRITTEN_DOWN_MS)
      return () => writeUnused(record, clock.now() - unusedFor);
    return undefined;
  }

  return {
    look(start) {
      const { rules } = settings();
      if (rules !== lookedUnder) lookAt = lookedAt + LOOK_MS;
      if (clock.monotonic() < lookAt) return;
      lookedAt = clock.monotonic();
      lookedUnder = rules;
      const now = clock.now();
      const named = namedSecrets();
      used.clear();
      const before = since;
      since = new Map();
      const works: Work[] = [];
      let count = 0;
      let isSettling = false;
      for (const record of view.records()) {
        count++;
        const work = workFor(record, named, (what) => {
          isSettling ||= what !== 'unused';
          const key = `${record.uid} ${what}`;
          const from = before.get(key) ?? now;
          since.set(key, from);
          return now - from;
        });
        if (work) works.push(work);
      }
      const pause = isSettling || works.length > 0 ? LOOK_MS : Math.max(count, named.size) * MS_PER_RECORD;
      lookAt = lookedAt + Math.min(Math.max(LOOK_MS, pause), LONGEST_PAUSE_MS);
      if (works.length === 0) return;
      start('records', async () => {
        for (const work of works) {
          await work().catch((error: unknown) => {
            if (!isProblem(error)) throw error;
            log.debug({ error }, 'care of a record failed');
          });
        }
      });
    },
    // Another has seen meanwhile who uses what: then what the records say counts.
    pause: () => since.clear(),
    onChange({ kind, gone, object }) {
      if (kind === 'pod' && !gone && isLeading()) addSecretsOf(object, used);
      const isEnding =
        kind === 'account' &&
        view
          .recordsOf(object.namespace, object.name)
          .some((record) => gone || record.accountUid !== object.uid || isGivenAway(record, object));
      if (kind === 'namespace' || isEnding) lookAt = lookedAt + LOOK_MS;
    },
  };
}

function addSecretsOf({ namespace, pullSecrets }: PodView, secrets: Set<string>): void {
  for (const name of pullSecrets) secrets.add(`${namespace}/${name}`);
}
