// What the policy says of a pod's pull secrets: which are ours, which are static, who set them, and what lets them pass.
import * as z from 'zod';
import { cureFor, whatIs } from './finding-text.ts';
import { globMatches } from './rule-subject.ts';
import { INJECT_LABEL, STATIC_PULL_SECRETS_LABEL } from './vocabulary.ts';
import type { AccountView, PodView } from './pod-view.ts';
import type { PullCredentialRecord } from './pull-credential-record.ts';
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
  /** What wrote the pod's own list, such as `the template of Deployment web`; absent: somebody wrote the pod itself. */
  readonly writtenIn?: string;
  /** Epoch milliseconds. */
  readonly now: number;
}

const DAY_MS = 86_400_000;

/** The mode that a namespace's label asks for. Absent or misspelt it is the default, but for one thing: a typo is never `off`. */
export function staticPullSecretsMode(
  labels: Readonly<Record<string, string>>,
  defaultMode: PolicyMode,
): PolicyMode {
  const label = labels[STATIC_PULL_SECRETS_LABEL];
  const known = policyModes.find((mode) => mode === label);
  if (known) return known;
  return label !== undefined && defaultMode === 'off' ? 'warn' : defaultMode;
}

/** Every static pull secret of the pod, in the pod's order. Linear: a tenant may list a hundred thousand. */
export function findingsOf(question: PolicyQuestion): Finding[] {
  const { pod, account, recorded, foreign, policy } = question;
  const ours = new Set([...plannedNames(question), ...recorded]);
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
    const exemption = exemptionFor(policy, pod, secret, question.now);
    const what = whatIs(question, secret, origin);
    cure ??= cureFor(question);
    const message = `${what}; ${cure} (${hintFor(pod)})`;
    findings.push({ secret, origin, what, cure, message, ...(exemption && { exemption }) });
  }
  return findings;
}

/**
 * A name that we computed is ours wherever it stands, for nobody else may make a Secret of that name. One that the account
 * chose is that of any Secret, which comes out when the worker makes its own: where no pod asks it to, a record alone tells.
 */
function plannedNames({ pod, plan, namespaceOptedIn }: PolicyQuestion): string[] {
  const isGiven = namespaceOptedIn && pod.labels[INJECT_LABEL] !== 'disabled';
  return plan.needs
    .filter(({ principal }) => isGiven || principal.secretName === undefined)
    .map(({ need }) => need.secretName);
}

/** Of the records of an account's name those that are this account's, as a question wants them. */
export function recordedNames(
  records: readonly PullCredentialRecord[],
  accountUid: string,
): { readonly recorded: ReadonlySet<string>; readonly foreign: ReadonlySet<string> } {
  const own = records.filter((record) => record.accountUid === accountUid);
  const names = (isForeign: boolean) =>
    own
      .filter(({ status }) => (status?.reason === 'secret-not-ours') === isForeign)
      .map(({ secretName }) => secretName);
  return { recorded: new Set(names(false)), foreign: new Set(names(true)) };
}

/** The command that shows more. */
export function hintFor(pod: PodView): string {
  return `keyless-pull render -f <manifest> --config <config> shows what ${pod.namespace}/${pod.name} gets`;
}

/**
 * How many leading entries the ServiceAccount plugin copied. It copies the account's whole list into a pod that has
 * none, before any webhook runs; later ones only append. (kubernetes/kubernetes plugin/pkg/admission/serviceaccount)
 */
function inheritedEntries(inPod: readonly string[], inAccount: readonly string[]): number {
  return inAccount.length > 0 && inAccount.every((name, at) => inPod[at] === name) ? inAccount.length : 0;
}

/**
 * What lets a secret of this account's pods pass. Of several that hold, the one that lasts longest: nobody is warned of
 * an end that changes nothing.
 */
export function exemptionFor(
  policy: Policy,
  subject: { readonly namespace: string; readonly serviceAccount: string },
  secret: string,
  now: number,
): Finding['exemption'] {
  let longest: Finding['exemption'];
  for (const { namespace, serviceAccount, secret: pattern, until, reason } of policy.exemptions) {
    const endsAt = endOf(until);
    if (now >= endsAt || (longest && until <= longest.until)) continue;
    if (
      globMatches(namespace, subject.namespace) &&
      globMatches(serviceAccount, subject.serviceAccount) &&
      globMatches(pattern, secret)
    ) {
      longest = { until, reason, daysLeft: Math.floor((endsAt - now) / DAY_MS) };
    }
  }
  return longest;
}

/** Days until the first of the exemptions that still hold ends; infinite without any. */
export function exemptionDaysLeft({ exemptions }: Policy, now: number): number {
  const ends = exemptions.map(({ until }) => endOf(until)).filter((end) => now < end);
  return (Math.min(...ends) - now) / DAY_MS;
}

/** Epoch milliseconds of the first instant on which an exemption until that day holds no more. */
function endOf(day: string): number {
  return Date.parse(`${day}T00:00:00Z`) + DAY_MS;
}
