// From what the policy found in an object to what the API server is told, by the mode of the path.
import { allow, deny, type Verdict } from './verdict.ts';
import type { Finding, PolicyMode } from '../core/pull-policy.ts';

export type ValidateMode = Exclude<PolicyMode, 'off'>;

/** An exemption that ends within these days, today's included, is announced. */
const ANNOUNCED_DAYS = 14;
/** Listed one by one in a denial or an audit annotation; of the rest only the number. */
const MOST_LISTED = 10;

/** What was judged. */
export interface Judged {
  /** Fields of the log line. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** The command that shows more. */
  readonly hint: string;
  /** In mode `enforce`, whether this finding is a reason to refuse. */
  readonly mayDeny: (finding: Finding) => boolean;
  /** Warnings that are no findings. */
  readonly notes: readonly string[];
  /** Said in mode `enforce` of findings that do not deny; absent: nothing. */
  readonly consequence?: string;
}

export function policyVerdict(mode: ValidateMode, findings: readonly Finding[], judged: Judged): Verdict {
  const open = findings.filter(({ exemption }) => !exemption);
  const isDenied = (finding: Finding) => mode === 'enforce' && judged.mayDeny(finding);
  const denied = open.filter(isDenied);
  const warned = open.filter((finding) => !isDenied(finding));
  const warnings = [...warningsOf(warned, mode, judged), ...announcements(findings), ...judged.notes];
  const told = {
    facts: { ...judged.facts, findings: findings.length },
    audit: auditOf(findings),
    warnings: mode === 'audit' ? [] : warnings,
  };
  const [first] = denied;
  if (first) return deny('finding', denialText(denied, first, judged), told);
  if (open.length > 0) return allow('finding', told);
  return allow(findings.length > 0 ? 'exempt' : 'no-finding', told);
}

function denialText(denied: readonly Finding[], first: Finding, { hint }: Judged): string {
  if (denied.length === 1) return first.message;
  const listed = firstOf(denied.map(({ what }) => what));
  return `${[...listed, first.cure].join('; ')} (${hint})`;
}

/** Those that are listed, and the number of the rest. */
function firstOf(texts: readonly string[]): string[] {
  const more = texts.length - MOST_LISTED;
  return [...texts.slice(0, MOST_LISTED), ...(more > 0 ? [`and ${more} more`] : [])];
}

function warningsOf(warned: readonly Finding[], mode: ValidateMode, { consequence }: Judged): string[] {
  const [first] = warned;
  if (!first) return [];
  const more = mode === 'enforce' && consequence !== undefined ? [consequence] : [];
  return [...warned.map(({ what }) => what), first.cure, ...more];
}

function announcements(findings: readonly Finding[]): string[] {
  return findings.flatMap(({ secret, exemption }) => {
    if (!exemption || exemption.daysLeft >= ANNOUNCED_DAYS) return [];
    return [`the exemption of pull secret ${JSON.stringify(secret)} ends with ${exemption.until} (UTC)`];
  });
}

function auditOf(findings: readonly Finding[]): Readonly<Record<string, string>> {
  const open = findings.flatMap(({ secret, origin, exemption }) =>
    exemption ? [] : [`${secret} (${origin})`],
  );
  const exempt = findings.flatMap(({ secret, exemption }) =>
    exemption ? [`${secret} until ${exemption.until}: ${exemption.reason}`] : [],
  );
  return {
    ...(open.length > 0 && { 'static-pull-secrets': firstOf(open).join(', ') }),
    ...(exempt.length > 0 && { exempt: firstOf(exempt).join('; ') }),
  };
}
