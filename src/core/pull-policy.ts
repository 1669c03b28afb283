// What the policy says of a pod's pull secrets: which are ours, which are static, who set them, and how to be rid of them.
import * as z from 'zod';
import { globMatches } from './rule-subject.ts';
import { INJECT_LABEL } from './vocabulary.ts';
import type { AccountView, PodView } from './pod-view.ts';
import type { Plan } from './pull-plan.ts';

export const policyModes = ['enforce', 'warn', 'audit', 'off'] as const;
export type PolicyMode = (typeof policyModes)[number];

/** A day, so that an exemption ends by itself: the last one on which it holds, in UTC. */
const Day = z.iso.date('write the day as YYYY-MM-DD, in quotes or plain');

const Exemption = z.strictObject({
  namespace: z
    .string()
    .min(1)
    .default('*')
    .meta({ description: 'name, "*" stands for any run of characters' }),
  serviceAccount: z
    .string()
    .min(1)
    .default('*')
    .meta({ description: 'name, "*" stands for any run of characters' }),
  secret: z.string().min(1).default('*').meta({ description: 'name, "*" stands for any run of characters' }),
  until: Day.meta({ description: 'last day on which the exemption holds, UTC' }),
  reason: z.string().min(1).meta({ description: 'shown in audit annotations' }),
});

export const Policy = z.strictObject({
  defaultMode: z
    .enum(policyModes)
    .default('off')
    .meta({ description: 'for namespaces without the label: what webhook-config sends to which path' }),
  inherited: z
    .enum(['finding', 'allowed'])
    .default('finding')
    .meta({ description: 'secrets that the ServiceAccount brought into the pod' }),
  exemptions: z
    .array(Exemption)
    .default([])
    .meta({ description: 'static pull secrets that pass, each until its day' }),
});
export type Policy = z.output<typeof Policy>;

/** One static pull secret of one pod. */
export interface Finding {
  readonly secret: string;
  /** Written in the pod, or copied from the account by the API server's ServiceAccount plugin. */
  readonly origin: 'explicit' | 'inherited';
  /** What it is, who set it, which line to remove. */
  readonly what: string;
  /** What to do instead: the same for every finding of a pod. */
  readonly cure: string;
  /** One line for a person: both, and the command that shows more. */
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
  /** Names of which a record of this account's uid says `secret-not-ours`: static, also where we would choose them. */
  readonly foreign?: ReadonlySet<string>;
  readonly namespaceOptedIn: boolean;
  readonly policy: Policy;
  /** Epoch milliseconds. */
  readonly now: number;
}

const DAY_MS = 86_400_000;
/** A sentence that lists more is not read. */
const MOST_LISTED = 5;

/** Every static pull secret of the pod, in the pod's order. Linear: a tenant may list a hundred thousand. */
export function findingsOf(question: PolicyQuestion): Finding[] {
  const { pod, account, plan, recorded, foreign, policy } = question;
  const ours = new Set([...plan.needs.map(({ need }) => need.secretName), ...recorded]);
  for (const name of foreign ?? []) ours.delete(name);
  const inheritedCount = inheritedEntries(pod.pullSecrets, account.pullSecrets);
  const seen = new Set<string>();
  const findings: Finding[] = [];
  let cure: string | undefined;
  for (const [at, secret] of pod.pullSecrets.entries()) {
    if (ours.has(secret) || seen.has(secret)) continue;
    seen.add(secret);
    const origin = at < inheritedCount ? 'inherited' : 'explicit';
    if (origin === 'inherited' && policy.inherited === 'allowed') continue;
    const exemption = exemptionFor(question, secret);
    const what = whatIs(question, secret, origin);
    cure ??= cureFor(question);
    const message = `${what}; ${cure} ${hintFor(pod)}`;
    findings.push({ secret, origin, what, cure, message, ...(exemption && { exemption }) });
  }
  return findings;
}

/** The command that shows more. */
export function hintFor(pod: PodView): string {
  return `(keyless-pull render -f <manifest> --config <config> shows what ${pod.namespace}/${pod.name} gets)`;
}

/**
 * How many leading entries the ServiceAccount plugin copied. It copies the account's whole list into a pod that has
 * none, before any webhook runs; later ones only append. (kubernetes/kubernetes plugin/pkg/admission/serviceaccount)
 */
function inheritedEntries(inPod: readonly string[], inAccount: readonly string[]): number {
  return inAccount.length > 0 && inAccount.every((name, at) => inPod[at] === name) ? inAccount.length : 0;
}

/** Of several that hold, the one that lasts longest: nobody is warned of an end that changes nothing. */
function exemptionFor({ pod, policy, now }: PolicyQuestion, secret: string): Finding['exemption'] {
  let longest: Finding['exemption'];
  for (const { namespace, serviceAccount, secret: pattern, until, reason } of policy.exemptions) {
    const endsAt = Date.parse(`${until}T00:00:00Z`) + DAY_MS;
    if (now >= endsAt || (longest && until <= longest.until)) continue;
    if (
      globMatches(namespace, pod.namespace) &&
      globMatches(serviceAccount, pod.serviceAccount) &&
      globMatches(pattern, secret)
    ) {
      longest = { until, reason, daysLeft: Math.floor((endsAt - now) / DAY_MS) };
    }
  }
  return longest;
}

function whatIs({ account, foreign }: PolicyQuestion, secret: string, origin: Finding['origin']): string {
  const name = JSON.stringify(secret);
  if (foreign?.has(secret)) {
    return `${name} is a Secret that keyless-pull did not make: delete it, and keyless-pull makes its own of that name`;
  }
  return origin === 'explicit'
    ? `${name} in spec.imagePullSecrets is a static pull secret, written in the pod: remove that line`
    : `${name} is a static pull secret, inherited from ServiceAccount ${account.name}: remove it from the account's imagePullSecrets`;
}

function cureFor({ pod, plan, namespaceOptedIn }: PolicyQuestion): string {
  const covered = [...plan.needs.map(({ need }) => need.host), ...plan.onNode];
  const uncovered = plan.leftOut.filter(({ reason }) => reason === 'no-rule').map(({ host }) => host);
  const refused = plan.leftOut.filter(({ reason }) => reason !== 'no-rule').map(({ message }) => message);
  const steps: string[] = [];
  if (!namespaceOptedIn) steps.push(`label the namespace ${INJECT_LABEL}=enabled`);
  if (pod.labels[INJECT_LABEL] === 'disabled')
    steps.push(`remove the label ${INJECT_LABEL}=disabled from the pod`);
  const sentences: string[] = [];
  if (covered.length > 0) {
    const start = steps.length > 0 ? `${steps.join(', ')} and ` : '';
    sentences.push(`${start}keyless-pull gives this pod its own credential for ${listOf(covered)}`);
  }
  if (uncovered.length > 0)
    sentences.push(
      `no rule covers ${listOf(uncovered)}: ask the cluster's administrators for one if it is private`,
    );
  return [...sentences, ...refused.slice(0, MOST_LISTED)].join('; ') || 'no image of this pod needs it';
}

function listOf(names: readonly string[]): string {
  const more = names.length - MOST_LISTED;
  return names.slice(0, MOST_LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
