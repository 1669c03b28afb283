// What is done when the key that signed a ServiceAccount token is no longer published: where the token itself is the
// password, registries refuse it long before it expires, and it is minted anew. What was exchanged for a token lives on.
import { isProblem, type Problem } from '../problem.ts';
import { isReadyFor, type PullCredentialRecord } from '../core/pull-credential-record.ts';
import { createDueRecords } from './due-records.ts';
import { recordedNeedOf } from './recorded-need.ts';
import { mayPass } from './attempt.ts';
import type { Caretaking, CaretakerTools, Start } from './caretaker.ts';
import type { PlannedNeed } from '../core/pull-plan.ts';

/**
 * How often the keys are looked at, a quarter more or less. Registries do it every 5 minutes or less often, as our token
 * server does, so that most credentials are new before the first of the old ones is refused; and it is one small GET.
 */
const LOOK_MS = 120_000;
const CALL_MS = 10_000;
/** Between one batch and the next: a look at every pod costs more than the tokens of a second. */
const BATCH_MS = 1_000;
const FIRST_WAIT_MS = 60_000;
const LONGEST_WAIT_MS = 900_000;

/** How minting a record anew for a key went. `until`: when it may be tried again; for ever, once it has succeeded. */
interface Trial {
  readonly until: number;
  readonly waitMs: number;
}

export function createKeyRotation(tools: CaretakerTools): Caretaking {
  const { cluster, issuer, limits, clock, log, settings, isLeading } = tools;
  const { view } = cluster;
  const { plannedFor } = createDueRecords({ view, rules: () => settings().rules });
  /** As last seen; empty while nothing is known. */
  let keys: ReadonlySet<string> = new Set();
  /** The newest token that we know of was signed by one of them. */
  let isProven = false;
  /** A token was minted because of this key set, and was signed by none of its keys: it speaks of another issuer. */
  let isForeign = false;
  let waiting: PullCredentialRecord[] = [];
  /** By record, key and key set: no record is minted anew twice for the same loss, whatever key sets come and go. */
  const trials = new Map<string, Trial>();
  let lookAt = 0;
  /** By the monotonic clock. */
  let batchAt = 0;

  const trialOf = ({ uid, status }: PullCredentialRecord) =>
    [uid, status?.tokenKeyId, ...[...keys].sort()].join(' ');

  /** The need of a credential that died with its key; undefined for what is good, and for what the worker's loop renews. */
  function lostNeed(record: PullCredentialRecord, now: number): PlannedNeed | undefined {
    const { status } = record;
    if (!status?.tokenKeyId || keys.has(status.tokenKeyId)) return undefined;
    if (now < (trials.get(trialOf(record))?.until ?? 0)) return undefined;
    const planned = plannedFor(recordedNeedOf(record));
    if (!planned?.rule.family.keepsToken) return undefined;
    return isReadyFor(record, planned.need, now) && now < status.refreshAt ? planned : undefined;
  }

  async function seeKeys(): Promise<void> {
    let seen: readonly string[];
    try {
      seen = await cluster.findSigningKeys({ signal: clock.deadline(CALL_MS) });
    } catch (error) {
      if (!isProblem(error)) throw error;
      return log.debug({ error }, 'signing keys not seen');
    }
    // No issuer is without keys: an empty set says nothing.
    if (seen.length === 0) return log.debug({}, 'no signing keys published');
    keys = new Set(seen);
    const records = [...view.records()];
    forgetTrials(records);
    const { tokenKeyId = '' } = newestOf(records)?.status ?? {};
    isProven = keys.has(tokenKeyId);
    if (isProven) isForeign = false;
    const now = clock.now();
    waiting = isForeign ? [] : records.filter((record) => lostNeed(record, now));
    if (waiting.length > 0) log.info({ credentials: waiting.length }, 'signing key gone');
  }

  function forgetTrials(records: readonly PullCredentialRecord[]): void {
    const uids = new Set(records.map(({ uid }) => uid));
    for (const trial of trials.keys()) if (!uids.has(trial.split(' ', 1)[0] ?? '')) trials.delete(trial);
  }

  function judge(keyId: string): void {
    isProven = keys.has(keyId);
    if (isProven || isForeign) return;
    isForeign = true;
    waiting = [];
    log.warn({}, 'published signing keys are not those of our tokens');
  }

  /** @returns false if the next one would fail as well */
  async function mintAnew(planned: PlannedNeed, record: PullCredentialRecord): Promise<boolean> {
    const trial = trialOf(record);
    try {
      const { status } = await issuer.issue(planned);
      limits.ended(planned, { kind: 'ready', isNew: true, freshUntil: 0 });
      trials.set(trial, { until: Infinity, waitMs: 0 });
      judge(status?.tokenKeyId ?? '');
      return true;
    } catch (error) {
      if (!isProblem(error)) {
        limits.ended(planned);
        throw error;
      }
      limits.ended(planned, { kind: 'failed', problem: error, firstAt: 0, failures: 1, freshUntil: 0 });
      await failed(planned, trial, error);
      return !mayPass(error.code);
    }
  }

  async function failed({ need }: PlannedNeed, trial: string, problem: Problem): Promise<void> {
    const waitMs = Math.min(2 * (trials.get(trial)?.waitMs ?? FIRST_WAIT_MS / 2), LONGEST_WAIT_MS);
    const wait = Math.max(waitMs, problem.details.retryAfterMs ?? 0);
    trials.set(trial, { until: clock.now() + wait, waitMs });
    log.debug({ error: problem }, 'credential not minted anew for its signing key');
    if (!mayPass(problem.code)) await issuer.report(need, problem);
  }

  /** One after another; what is down for one is down for the next, and keeps nobody waiting who wants to stop. */
  async function mintBatch(most: number): Promise<void> {
    for (let minted = 0; minted < most;) {
      const known = waiting.pop();
      if (!known || !isLeading()) return;
      const record = view.record(known.namespace, known.name);
      const planned = record && lostNeed(record, clock.now());
      if (!planned) continue;
      minted++;
      // Whose endpoint has no turn left is looked at again with the keys.
      if (limits.begin(planned) && !(await mintAnew(planned, record))) return;
    }
  }

  /** As many as `ratePerEndpoint` in a second, for no endpoint bounds them; one, until its token has proved the key set. */
  function beginBatch(start: Start): void {
    const { ratePerEndpoint } = settings();
    if (waiting.length === 0 || clock.monotonic() < batchAt) return;
    const most = isProven ? Math.max(1, Math.floor(ratePerEndpoint)) : 1;
    if (!start('signing-key', () => mintBatch(most))) return;
    const pauseMs = Math.max(BATCH_MS, 1000 / ratePerEndpoint);
    batchAt = clock.monotonic() + pauseMs * (1 + clock.random() / 4);
  }

  return {
    look(start) {
      const now = clock.now();
      // A clock that was turned back must not make us wait for hours.
      if ((now >= lookAt || lookAt - now > 2 * LOOK_MS) && start('signing-keys', seeKeys))
        lookAt = now + LOOK_MS * (0.75 + clock.random() / 2);
      beginBatch(start);
    },
    // Who loses the Lease may have lost it to a restart of the API server, which is when its keys change.
    pause() {
      lookAt = 0;
      waiting = [];
    },
  };
}

/** Of those that say which key signed their token. */
function newestOf(records: readonly PullCredentialRecord[]): PullCredentialRecord | undefined {
  let newest: PullCredentialRecord | undefined;
  for (const record of records) {
    const { tokenKeyId, issuedAt = 0 } = record.status ?? {};
    if (tokenKeyId && issuedAt > (newest?.status?.issuedAt ?? 0)) newest = record;
  }
  return newest;
}
