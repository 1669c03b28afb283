// The policy for one pod in its final state: static pull secrets are denied, warned of or noted, as the path says. It
// never patches.
import { parseImageReference } from '../core/image-reference.ts';
import { injectionOf, viewPod, type AccountView, type PodView } from '../core/pod-view.ts';
import { findingsOf, type Finding, type Policy } from '../core/pull-policy.ts';
import { planPulls, type Plan, type PlanSettings } from '../core/pull-plan.ts';
import { INJECT_LABEL, PROTECTED_NAMESPACES } from '../core/vocabulary.ts';
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
import type { ClusterView } from '../cluster/cluster.ts';
import type { AdmissionRequest } from './review.ts';

export interface ValidateTools extends SubjectTools {
  readonly view: SubjectTools['view'] & Pick<ClusterView, 'recordsOf'>;
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
    const namespace = await namespaceFor(tools, call, pod.namespace, settings.rules);
    const account = await accountFor(tools, call, pod);
    // A label never changes whose a Secret is, so the plan is that of a pod which did not opt out.
    const asIfIncluded: PodView = { ...pod, isMirror: false, labels: { ...pod.labels, [INJECT_LABEL]: '' } };
    const plan = planPulls(asIfIncluded, account, namespace?.labels ?? {}, settings);
    const namespaceOptedIn = injectionOf(namespace) === 'enabled';
    const records = recordedNames(tools.view, account);
    const { policy } = settings;
    const findings = findingsOf({
      pod,
      account,
      plan,
      ...records,
      namespaceOptedIn,
      policy,
      now: tools.clock.now(),
    });
    for (const finding of findings) tools.onFinding(mode, pod.namespace, finding);
    const notes = namespaceOptedIn
      ? [...lostReferences(pod, before, plan), ...lateImages(pod, before, plan)]
      : [];
    return policyVerdict(mode, pod, before, findings, notes);
  };
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

/** Without a pull secret in the pod, only the account's name matters. One that does not exist has no list to inherit from. */
async function accountFor(tools: ValidateTools, call: Call, pod: PodView): Promise<AccountView> {
  const inView = subjectInView(tools, pod.namespace, pod.serviceAccount);
  if (inView.presence === 'known' || pod.pullSecrets.length === 0) return inView.account;
  const { account, presence } = await lookUpSubject(tools, call, pod.namespace, pod.serviceAccount);
  if (presence !== 'unknown') return account;
  throw new Problem(
    'not-ready',
    `ServiceAccount ${pod.serviceAccount} is not known yet, and the API server could not be asked`,
  );
}

function recordedNames(
  view: ValidateTools['view'],
  account: AccountView,
): { recorded: Set<string>; foreign: Set<string> } {
  const recorded = new Set<string>();
  const foreign = new Set<string>();
  for (const { accountUid, secretName, status } of view.recordsOf(account.namespace, account.name)) {
    if (accountUid !== account.uid) continue;
    (status?.reason === 'secret-not-ours' ? foreign : recorded).add(secretName);
  }
  return { recorded, foreign };
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
  const known = new Set(before.images.map(({ image }) => hostOf(image)));
  const warnings: string[] = [];
  for (const { name, image } of pod.images) {
    const host = hostOf(image);
    if (known.has(host)) continue;
    known.add(host);
    const planned = plan.needs.find(({ need }) => need.host === host);
    if (planned && pod.pullSecrets.includes(planned.need.secretName)) continue;
    warnings.push(
      `${name || 'a container'} pulls from ${host || 'an unreadable host'} without a credential: none can be added to a running pod`,
    );
  }
  return warnings;
}

function hostOf(image: string): string {
  try {
    return parseImageReference(image).host.toLowerCase();
  } catch {
    return '';
  }
}
