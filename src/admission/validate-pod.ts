// The policy for one pod in its final state: static pull secrets are denied, warned of or noted, as the path says. It
// never patches.
import { hostOfImage } from '../core/image-reference.ts';
import {
  injectionOf,
  viewPod,
  type AccountView,
  type NamespaceView,
  type PodView,
} from '../core/pod-view.ts';
import { findingsOf, hintFor, recordedNames, type Finding, type Policy } from '../core/pull-policy.ts';
import { planPulls, type Plan, type PlanSettings } from '../core/pull-plan.ts';
import { INJECT_LABEL, PROTECTED_NAMESPACES } from '../core/vocabulary.ts';
import { writerOf } from '../core/workload.ts';
import { Problem } from '../problem.ts';
import {
  lookUpSubject,
  namespaceFor,
  subjectInView,
  type Call,
  type SubjectTools,
} from './review-subject.ts';
import { policyVerdict, type ValidateMode } from './policy-verdict.ts';
import { allow, type Verdict } from './verdict.ts';
import type { Clock } from '../clock.ts';
import type { RegistryRule } from '../core/registry-rule.ts';
import type { ClusterView } from '../cluster/cluster.ts';
import type { AdmissionRequest } from './review.ts';

export interface ValidateTools extends SubjectTools {
  readonly view: SubjectTools['view'] & Pick<ClusterView, 'recordsOf' | 'record'>;
  /** Read for every pod, so that a reloaded config counts at once. */
  readonly settings: () => PlanSettings & { readonly policy: Policy };
  /** Told of each finding, exempt or not; for metrics. */
  readonly onFinding: (mode: ValidateMode, namespace: string, finding: Finding) => void;
  readonly clock: Clock;
}

export type ValidatePod = (call: Call, request: AdmissionRequest, mode: ValidateMode) => Promise<Verdict>;

/** @throws Problem `not-ready`: the account cannot be known now, and who wrote the secrets depends on it */
export function createValidatePod(tools: ValidateTools): ValidatePod {
  return async (call, request, mode) => {
    if (request.kind !== 'Pod' || request.group !== '') return allow('not-a-pod');
    if (PROTECTED_NAMESPACES.includes(request.namespace)) return allow('protected-namespace');
    const pod = viewPod(request.object, request.namespace);
    const before = request.operation === 'UPDATE' ? viewPod(request.oldObject, request.namespace) : undefined;
    if (!isJudged(request, pod, before)) return allow('images-unchanged');

    const settings = tools.settings();
    // The label that made the webhook give a Secret the name that the account chose may not be in the watch yet.
    const mayBeChosen = pod.pullSecrets.length > 0 && settings.rules.some(isNamedByAccounts);
    const isEnough = (known: NamespaceView) => !mayBeChosen || injectionOf(known) === 'enabled';
    const namespace = await namespaceFor(tools, call, pod.namespace, settings.rules, isEnough);
    const account = await accountFor(tools, call, pod);
    const writtenIn = writerOf(request.object);
    const { findings, plan, namespaceOptedIn } = podFindings(tools, pod, account, namespace, writtenIn);
    for (const finding of findings) tools.onFinding(mode, pod.namespace, finding);
    const notes = namespaceOptedIn
      ? [...lostReferences(pod, before, plan), ...lateImages(pod, before, plan)]
      : [];
    const old = new Set(before?.pullSecrets);
    return policyVerdict(mode, findings, {
      facts: { pod: pod.name, serviceAccount: pod.serviceAccount },
      hint: hintFor(pod),
      mayDeny: ({ secret }) => !old.has(secret),
      notes,
    });
  };
}

/** The findings of a pod that is there, or will be; `writtenIn` as in PolicyQuestion. */
export function podFindings(
  { view, settings, clock }: Pick<ValidateTools, 'view' | 'settings' | 'clock'>,
  pod: PodView,
  account: AccountView,
  namespace: NamespaceView | undefined,
  writtenIn: string | undefined,
): { readonly findings: readonly Finding[]; readonly plan: Plan; readonly namespaceOptedIn: boolean } {
  const { policy, ...plannable } = settings();
  // A label never changes whose a Secret is, so the plan is that of a pod which did not opt out.
  const asIfIncluded: PodView = { ...pod, isMirror: false, labels: { ...pod.labels, [INJECT_LABEL]: '' } };
  const plan = planPulls(asIfIncluded, account, namespace?.labels ?? {}, plannable);
  const namespaceOptedIn = injectionOf(namespace) === 'enabled';
  const findings = findingsOf({
    pod,
    account,
    plan,
    ...recordedNames(view.recordsOf(account.namespace, account.name), account.uid),
    namespaceOptedIn,
    policy,
    ...(writtenIn !== undefined && { writtenIn }),
    now: clock.now(),
  });
  return { findings, plan, namespaceOptedIn };
}

function isNamedByAccounts({ secretName }: RegistryRule): boolean {
  return secretName === 'annotation';
}

/** CREATE, an UPDATE that changes images, and ephemeral containers; `resize` and the rest change nothing that is pulled. */
function isJudged(
  { operation, subResource }: AdmissionRequest,
  pod: PodView,
  before: PodView | undefined,
): boolean {
  if (operation === 'CREATE') return subResource === '';
  if (!before || (subResource !== '' && subResource !== 'ephemeralcontainers')) return false;
  return (
    pod.images.length !== before.images.length ||
    pod.images.some(({ image }, at) => image !== before.images[at]?.image)
  );
}

/**
 * Without a pull secret in the pod, only the account's name matters, unless there will be one by inheritance. An account
 * that does not exist has no list to inherit from.
 */
export async function accountFor(
  tools: SubjectTools,
  call: Call,
  pod: PodView,
  look: 'if-it-matters' | 'always' = 'if-it-matters',
): Promise<AccountView> {
  const inView = subjectInView(tools, pod.namespace, pod.serviceAccount);
  const matters = look === 'always' || pod.pullSecrets.length > 0;
  if (inView.presence === 'known' || !matters) return inView.account;
  const { account, presence } = await lookUpSubject(tools, call, pod.namespace, pod.serviceAccount);
  if (presence !== 'unknown') return account;
  throw new Problem(
    'not-ready',
    `ServiceAccount ${pod.serviceAccount} is not known yet, and the API server could not be asked`,
  );
}

/** Somebody after us took out what we had put in: the pod would not find its credential. */
function lostReferences(pod: PodView, before: PodView | undefined, plan: Plan): string[] {
  if (before || pod.isMirror || pod.labels[INJECT_LABEL] === 'disabled') return [];
  return plan.needs
    .filter(({ need }) => !pod.pullSecrets.includes(need.secretName))
    .map(
      ({ need }) =>
        `${need.secretName}, the credential for ${need.host}, is not in imagePullSecrets: was it removed?`,
    );
}

/** Pull secrets cannot be added to a pod that exists, so an image from a registry of its own comes too late. */
function lateImages(pod: PodView, before: PodView | undefined, plan: Plan): string[] {
  if (!before) return [];
  const hostOf = (image: string) => hostOfImage(image)?.toLowerCase();
  const known = new Set(before.images.map(({ image }) => hostOf(image)));
  const warnings: string[] = [];
  for (const { name, image } of pod.images) {
    const host = hostOf(image);
    if (known.has(host)) continue;
    known.add(host);
    const planned = plan.needs.find(({ need }) => need.host === host);
    if (planned && pod.pullSecrets.includes(planned.need.secretName)) continue;
    warnings.push(
      `${name || 'a container'} pulls from ${host ?? 'an unreadable host'} without a credential: none can be added to a running pod`,
    );
  }
  return warnings;
}
