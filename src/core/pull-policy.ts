// What the policy says of a pod's pull secrets: which are ours, which are static, who set them, and how to be rid of them.
import * as z from 'zod';
import { globMatches } from './registry-rule.ts';
import { INJECT_LABEL } from './vocabulary.ts';
import type { AccountView, PodView } from './pod-view.ts';
import type { Plan } from './pull-plan.ts';

export const policyModes = ['enforce', 'warn', 'audit', 'off'] as const;
export type PolicyMode = (typeof policyModes)[number];

/** A day, so that an exemption ends by itself: the last one on which it holds, in UTC. */
const Day = z.iso.date('write the day as YYYY-MM-DD, in quotes or plain');

const Exemption = z.strictObject({
  namespace: z.string().min(1).default('*'),
  serviceAccount: z.string().min(1).default('*'),
  secret: z.string().min(1).default('*'),
  until: Day.meta({ description: 'last day on which the exemption holds, UTC' }),
  reason: z.string().min(1).meta({ description: 'shown in audit annotations' }),
});

export const Policy = z.strictObject({
  defaultMode: z.enum(policyModes).default('off').meta({ description: 'for namespaces without the label: what webhook-config sends to which path' }),
  inherited: z.enum(['finding', 'allowed']).default('finding').meta({ description: 'secrets that the ServiceAccount brought into the pod' }),
  exemptions: z.array(Exemption).default([]),
});
export type Policy = z.output<typeof Policy>;

/** One static pull secret of one pod. */
export interface Finding {
  readonly secret: string;
  /** Written in the pod, or copied from the account by the API server's ServiceAccount plugin. */
  readonly origin: 'explicit' | 'inherited';
  /** One line for a person: what, who set it, what to do. */
  readonly message: string;
  /** Why the policy lets it pass, until when; absent where it does not. */
  readonly exemption?: { readonly until: string; readonly reason: string; readonly daysLeft: number };
}

export interface PolicyQuestion {
  readonly pod: PodView;
  readonly account: AccountView;
  /** Of the pod as if it had not opted out: a label never changes whose a Secret is. */
  readonly plan: Plan;
  /** Secret names in the records of this account's uid, without those that say `secret-not-ours`. */
  readonly recorded: ReadonlySet<string>;
  readonly namespaceOptedIn: boolean;
  readonly policy: Policy;
  /** Epoch milliseconds. */
  readonly now: number;
}

const DAY_MS = 86_400_000;

/** Every static pull secret of the pod, in the pod's order. */
export function findingsOf(question: PolicyQuestion): Finding[] {
  const { pod, account, plan, recorded, policy } = question;
  const ours = new Set([...plan.needs.map(({ need }) => need.secretName), ...recorded]);
  const inheritedCount = inheritedEntries(pod.pullSecrets, account.pullSecrets);
  const findings: Finding[] = [];
  for (const [at, secret] of pod.pullSecrets.entries()) {
    if (ours.has(secret) || findings.some((finding) => finding.secret === secret)) continue;
    const origin = at < inheritedCount ? 'inherited' : 'explicit';
    if (origin === 'inherited' && policy.inherited === 'allowed') continue;
    const exemption = exemptionFor(question, secret);
    findings.push({ secret, origin, message: messageFor(question, secret, origin), ...(exemption && { exemption }) });
  }
  return findings;
}

/**
 * How many leading entries the ServiceAccount plugin copied. It copies the account's whole list into a pod that has
 * none, before any webhook runs; later ones only append. (kubernetes/kubernetes plugin/pkg/admission/serviceaccount)
 */
function inheritedEntries(inPod: readonly string[], inAccount: readonly string[]): number {
  return inAccount.length > 0 && inAccount.every((name, at) => inPod[at] === name) ? inAccount.length : 0;
}

function exemptionFor({ pod, policy, now }: PolicyQuestion, secret: string): Finding['exemption'] {
  for (const { namespace, serviceAccount, secret: pattern, until, reason } of policy.exemptions) {
    const endsAt = Date.parse(`${until}T00:00:00Z`) + DAY_MS;
    if (now >= endsAt) continue;
    if (globMatches(namespace, pod.namespace) && globMatches(serviceAccount, pod.serviceAccount) && globMatches(pattern, secret)) {
      return { until, reason, daysLeft: Math.floor((endsAt - now) / DAY_MS) };
    }
  }
  return undefined;
}

function messageFor({ pod, account, plan, namespaceOptedIn }: PolicyQuestion, secret: string, origin: Finding['origin']): string {
  const what =
    origin === 'explicit'
      ? `${JSON.stringify(secret)} in spec.imagePullSecrets is a static pull secret, written in the pod: remove that line`
      : `${JSON.stringify(secret)} is a static pull secret, inherited from ServiceAccount ${account.name}: remove it from the account's imagePullSecrets`;
  return `${what}; ${cureFor(plan, namespaceOptedIn)} (keyless-pull render -f <manifest> shows what ${pod.namespace}/${pod.name} gets)`;
}

function cureFor(plan: Plan, namespaceOptedIn: boolean): string {
  const covered = [...plan.needs.map(({ need }) => need.host), ...plan.onNode];
  const uncovered = plan.leftOut.filter(({ reason }) => reason === 'no-rule').map(({ host }) => host);
  const sentences: string[] = [];
  if (covered.length > 0 && namespaceOptedIn) sentences.push(`keyless-pull gives this pod its own credential for ${covered.join(', ')}`);
  if (covered.length > 0 && !namespaceOptedIn) {
    sentences.push(`label the namespace ${INJECT_LABEL}=enabled and keyless-pull gives this pod its own credential for ${covered.join(', ')}`);
  }
  if (uncovered.length > 0) sentences.push(`no rule covers ${uncovered.join(', ')}: ask the cluster's administrators for one if it is private`);
  return sentences.join('; ') || 'no image of this pod needs it';
}
