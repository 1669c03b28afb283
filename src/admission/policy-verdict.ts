// From what the policy found in a pod to what the API server is told, by the mode of the path.
import { hintFor, type Finding, type PolicyMode } from '../core/pull-policy.ts';
import { allow, deny, type Verdict } from './verdict.ts';
import type { PodView } from '../core/pod-view.ts';

export type ValidateMode = Exclude<PolicyMode, 'off'>;

/** An exemption that ends within these days, today's included, is announced. */
const ANNOUNCED_DAYS = 14;
/** Listed one by one in a denial; of the rest only the number. */
const MOST_LISTED = 10;

/** `before` is the pod before an UPDATE: what it had then never denies. `notes` are warnings that never deny either. */
export function policyVerdict(
  mode: ValidateMode,
  pod: PodView,
  before: PodView | undefined,
  findings: readonly Finding[],
  notes: readonly string[],
): Verdict {
  const old = new Set(before?.pullSecrets);
  const open = findings.filter(({ exemption }) => !exemption);
  const isDenied = ({ secret }: Finding) => mode === 'enforce' && !old.has(secret);
  const denied = open.filter(isDenied);
  const warned = open.filter((finding) => !isDenied(finding));
  const extra = {
    facts: { pod: pod.name, serviceAccount: pod.serviceAccount, findings: findings.length },
    audit: auditOf(findings),
    warnings:
      mode === 'audit'
        ? []
        : [...warned.map(({ what }) => what), ...cureOf(warned), ...announcements(findings), ...notes],
  };
  const [first] = denied;
  if (first) return deny('finding', denialText(pod, denied, first), extra);
  if (open.length > 0) return allow('finding', extra);
  return allow(findings.length > 0 ? 'exempt' : 'no-finding', extra);
}

function denialText(pod: PodView, denied: readonly Finding[], first: Finding): string {
  if (denied.length === 1) return first.message;
  const more = denied.length - MOST_LISTED;
  const listed = denied.slice(0, MOST_LISTED).map(({ what }) => what);
  return `${[...listed, ...(more > 0 ? [`and ${more} more`] : []), first.cure].join('; ')} ${hintFor(pod)}`;
}

function cureOf([first]: readonly Finding[]): string[] {
  return first ? [first.cure] : [];
}

function announcements(findings: readonly Finding[]): string[] {
  return findings.flatMap(({ secret, exemption }) => {
    if (!exemption || exemption.daysLeft >= ANNOUNCED_DAYS) return [];
    return [`the exemption of pull secret ${JSON.stringify(secret)} ends with ${exemption.until} (UTC)`];
  });
}

function auditOf(findings: readonly Finding[]): Readonly<Record<string, string>> {
  const listed = findings.slice(0, MOST_LISTED);
  const open = listed
    .filter(({ exemption }) => !exemption)
    .map(({ secret, origin }) => `${secret} (${origin})`);
  const exempt = listed.flatMap(({ secret, exemption }) =>
    exemption ? [`${secret} until ${exemption.until}: ${exemption.reason}`] : [],
  );
  return {
    ...(open.length > 0 && { 'static-pull-secrets': open.join(', ') }),
    ...(exempt.length > 0 && { exempt: exempt.join('; ') }),
  };
}
