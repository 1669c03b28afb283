// The flow for one pod that is being created: what it needs, what is known of that, and the patch. Nothing is minted,
// exchanged or written here, dry run or not; the worker acts on the pod once it is stored.
import { credentialsText, patchFor } from '../core/pod-patch.ts';
import { takenVolumes } from '../core/pod-mounts.ts';
import { fieldsOf } from '../core/fields.ts';
import { injectionOf, isGated, viewPod, type PodView } from '../core/pod-view.ts';
import { isUsable } from '../core/pull-credential.ts';
import { planPulls, type Plan, type PlannedNeed, type PlanSettings } from '../core/pull-plan.ts';
import { PROTECTED_NAMESPACES } from '../core/vocabulary.ts';
import {
  lookUpSubject,
  namespaceFor,
  subjectInView,
  type Call,
  type Subject,
  type SubjectTools,
} from './review-subject.ts';
import { allow, deny, patch, type Verdict, type VerdictReason } from './verdict.ts';
import type { Clock } from '../clock.ts';
import type { Keeper, Standing } from '../credentials/keeper.ts';
import type { AdmissionRequest } from './review.ts';

export interface MutateTools extends SubjectTools {
  readonly keeper: Pick<Keeper, 'standingOf'>;
  /** Read for every pod, so that a reloaded config counts at once. */
  readonly settings: () => PlanSettings;
  /** True if a worker renewed its Lease in the last 10 s. */
  readonly workerIsAlive: () => boolean;
  /** True if that worker has the right to open gates there; absent: everywhere. */
  readonly mayOpenGates?: (namespace: string) => boolean;
  readonly clock: Clock;
}

export type MutatePod = (call: Call, request: AdmissionRequest) => Promise<Verdict>;

/**
 * Answers from memory; only an account or namespace that the watch has not seen costs a live look. Where that fails, the
 * references are added all the same, for they are made of names alone.
 */
export function createMutatePod(tools: MutateTools): MutatePod {
  return async (call, request) => {
    if (request.kind !== 'Pod' || request.group !== '') return allow('not-a-pod');
    if (request.operation !== 'CREATE' || request.subResource !== '') return allow('not-created');
    if (PROTECTED_NAMESPACES.includes(request.namespace)) return allow('protected-namespace');
    const pod = viewPod(request.object, request.namespace);
    // The kubelet deletes a mirror whose spec is not the static pod's.
    if (pod.isMirror) return allow('mirror-pod');

    const settings = tools.settings();
    const isOptedIn = (known: Parameters<typeof injectionOf>[0]) => injectionOf(known) === 'enabled';
    const found = namespaceFor(tools, call, pod.namespace, settings.rules, isOptedIn);
    const namespace = found instanceof Promise ? await found : found;
    // One that nobody knows yet is opted in: the webhook's own selector has just said so.
    if (namespace && !isOptedIn(namespace)) return allow('not-opted-in');

    const labels = namespace?.labels ?? {};
    const inView = subjectInView(tools, pod.namespace, pod.serviceAccount);
    const plan = planPulls(pod, inView.account, labels, settings);
    // An account is looked up only for a pod that needs something, whatever the account's annotations say.
    if (inView.presence === 'known' || !isAccountsToSay(plan))
      return judge(tools, request, pod, inView, plan);
    const subject = await lookUpSubject(tools, call, pod.namespace, pod.serviceAccount);
    return judge(tools, request, pod, subject, planPulls(pod, subject.account, labels, settings));
  };
}

function judge(
  tools: MutateTools,
  request: AdmissionRequest,
  pod: PodView,
  subject: Subject,
  plan: Plan,
): Verdict {
  const facts = factsOf(pod, plan);
  const standings = standingsOf(tools, plan, subject);
  const refusal = standings.find(isToBeDenied);
  if (refusal) return deny(refusal.code, denialText(refusal), { facts, audit: auditOf(plan, false) });

  const isHeld = mayBeHeld(pod) && standings.some(isWorthWaiting);
  const obstacle = isHeld ? obstacleTo(tools, pod.namespace) : undefined;
  const gate = isHeld && obstacle === undefined;
  const operations = patchFor(request.object, pod, plan, gate);
  const warnings = plan.leftOut.map(({ message }) => message);
  for (const name of takenVolumes(fieldsOf(fieldsOf(request.object)['spec']), plan))
    warnings.push(`volume ${name} is not of keyless-pull's making: it stays as it is, and is not mounted`);
  for (const standing of standings) if (standing.kind === 'refused') warnings.push(warningFor(standing));
  if (subject.presence === 'missing') {
    warnings.push(`ServiceAccount ${pod.serviceAccount} does not exist, and has no credentials yet`);
  }
  if (obstacle !== undefined)
    warnings.push(`${obstacle}: this pod is not held until its credentials exist, and may fail to pull`);
  const reason = reasonFor(pod, plan, operations.length, gate);
  return patch(reason, operations, { facts, warnings, audit: auditOf(plan, gate) });
}

/** Why a pod cannot be held: nobody would let it go again. */
function obstacleTo({ workerIsAlive, mayOpenGates }: MutateTools, namespace: string): string | undefined {
  if (!workerIsAlive()) return 'no worker is alive';
  if (mayOpenGates && !mayOpenGates(namespace))
    return `the worker has no right to open gates in ${namespace}`;
  return undefined;
}

function carriesAnything(plan: Plan): boolean {
  return plan.needs.length > 0 || plan.onNode.length > 0 || plan.tokens.length > 0;
}

/** What an account without annotations has no parameters for, one with them may have. */
function isAccountsToSay(plan: Plan): boolean {
  return carriesAnything(plan) || plan.leftOut.some(({ reason }) => reason === 'parameters');
}

type NeedStanding = PlannedNeed & Standing;
type RefusedNeed = PlannedNeed & Extract<Standing, { kind: 'refused' }>;

/** An account without a uid has no credentials: nothing was ever made for it. */
function standingsOf({ keeper, clock }: MutateTools, plan: Plan, { account }: Subject): NeedStanding[] {
  return plan.needs.map((planned) => {
    if (account.uid === '') return { ...planned, kind: 'pending' };
    const standing = keeper.standingOf(planned.need);
    if (standing.kind === 'ready' && !isUsable(standing.expiresAt, clock.now()))
      return { ...planned, kind: 'pending' };
    return { ...planned, ...standing };
  });
}

/** The registry's own no. Throttling, a full quota or a Secret in the way are nothing that the pod could be blamed for. */
function isToBeDenied(standing: NeedStanding): standing is RefusedNeed {
  if (standing.kind !== 'refused' || standing.rule.whenRefused !== 'deny') return false;
  return standing.code === 'exchange-refused' || standing.code === 'token-refused';
}

function denialText({ need, code, message }: RefusedNeed): string {
  const { namespace, account } = need.identity;
  return (
    `registry ${need.host} refuses ServiceAccount ${namespace}/${account} (rule ${need.rule}, ${code}): ${message}; ` +
    `check that the registry trusts this account (kubectl -n ${namespace} describe pullcred ${need.secretName} shows more)`
  );
}

function warningFor({ need, code, message }: RefusedNeed): string {
  return `no credential for ${need.host} so far (${code}): ${message}`;
}

/**
 * What is refused is not waited for: the worker would release the pod at once, and the kubelet's own message helps more.
 * But a Secret that is not ours must not be pulled with unseen: the gate gives its owner time to read the events.
 */
function isWorthWaiting(standing: NeedStanding): boolean {
  if (standing.rule.whenPending !== 'gate') return false;
  return standing.kind === 'pending' || (standing.kind === 'refused' && standing.code === 'secret-not-ours');
}

/** A gate with a node's name is invalid, and neither a node's daemons nor the cluster's own parts may wait for us. */
function mayBeHeld(pod: PodView): boolean {
  return pod.nodeName === '' && !pod.ownedByDaemonSet && !pod.priorityClass.startsWith('system-');
}

function reasonFor(pod: PodView, plan: Plan, operations: number, gate: boolean): VerdictReason {
  if (plan.leftOut.some(({ reason }) => reason === 'opted-out')) return 'opted-out';
  if (!carriesAnything(plan)) return 'no-needs';
  if (operations === 0) return 'nothing-missing';
  if (gate) return 'gated';
  return isGated(pod) ? 'ungated' : 'given-credentials';
}

function factsOf(pod: PodView, plan: Plan): Readonly<Record<string, unknown>> {
  return {
    pod: pod.name,
    serviceAccount: pod.serviceAccount,
    registries: plan.needs.map(({ need }) => need.host),
  };
}

/** More than this many are in nobody's interest in an audit log. */
const MOST_LEFT_OUT = 16;

function auditOf(plan: Plan, gate: boolean): Readonly<Record<string, string>> {
  const leftOut = plan.leftOut
    .slice(0, MOST_LEFT_OUT)
    .map(({ reason, host }) => (host ? `${host}=${reason}` : reason));
  return {
    ...(carriesAnything(plan) && { plan: credentialsText(plan) }),
    ...(leftOut.length > 0 && { 'left-out': leftOut.join(', ') }),
    ...(gate && { gate: 'held' }),
  };
}
