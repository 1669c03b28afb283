// One trust as text: the head that says what it is for and what was chosen, then what the family makes of it.
import { annotationsFor } from '../../core/identity-parameters.ts';
import { whyDedicated } from './ambient-audience.ts';
import { comment } from './quoting.ts';
import type { FamilyTrust, Trust, TrustForm } from './trust.ts';

export interface TrustText {
  readonly form: TrustForm;
  readonly text: string;
  readonly notes: readonly string[];
  readonly faults: readonly string[];
}

export function trustText(family: FamilyTrust, trust: Trust, form: TrustForm): TrustText {
  const write = family.forms[form];
  if (!write) throw new TypeError(`${trust.kind} has no form ${form}`);
  const dedicated = whyDedicated(trust.audience);
  const notes = [...(dedicated ? [dedicated] : []), ...family.notes(trust)];
  const faults = [...(family.faults?.(trust) ?? []), ...unreachable(family, trust)];
  const body = write(trust);
  const head = `${headOf(trust, notes, faults).map(comment).join('\n')}\n`;
  switch (form) {
    case 'zot':
      // JSON has no comments; notes and faults are beside it with --output json.
      return { form, text: body, notes, faults };
    case 'commands':
      return { form, text: `#!/bin/sh\n${head}set -eu\n\n${body}`, notes, faults };
    case 'terraform':
    case 'token-server':
      return { form, text: `${head}\n${body}`, notes, faults };
  }
}

function headOf(trust: Trust, notes: readonly string[], faults: readonly string[]): string[] {
  const { rule, kind, host, issuer, audience, subject, namespace, account, chosen } = trust;
  return [
    `For ServiceAccount ${namespace}/${account} to pull from ${host}: rule ${rule}, exchange ${kind}.`,
    `  issuer    ${issuer}`,
    `  audience  ${audience}`,
    `  subject   ${subject}`,
    ...faults.map((fault) => `WILL NOT WORK: ${fault}.`),
    ...(chosen.length > 0 ? ['Nobody has set these yet; annotate the account with what they become:'] : []),
    ...chosen.flatMap(({ parameter, value, told }) => [
      `  ${annotationsFor(rule, parameter)[1]}: ${value}`,
      `    ${told}`,
    ]),
    ...notes.map((note) => `Note: ${note}.`),
  ];
}

/** Names that mean something inside of a cluster only. */
const INSIDE = /^(?:localhost|[^.]+|.*\.(?:svc|local|internal|localdomain|test))$/;

function unreachable({ fetcher }: FamilyTrust, { issuer }: Trust): string[] {
  const { hostname } = new URL(issuer);
  return fetcher !== undefined && INSIDE.test(hostname)
    ? [`${fetcher} must fetch the issuer's keys from the internet, where nobody knows ${hostname}`]
    : [];
}
