// What the policy says of an account's own list of pull secrets, which every pod without a list of its own inherits.
import { isPlatformMade, listOf, OPT_IN } from './finding-text.ts';
import { principalsOf, PROVISIONER_REGISTRY } from './identity-parameters.ts';
import { exemptionFor, type Finding, type Policy } from './pull-policy.ts';
import { ruleSpeaksOf, servesHost, type RegistryRule } from './registry-rule.ts';
import { SECRET_PREFIX } from './vocabulary.ts';
import type { AccountView } from './pod-view.ts';

export interface AccountQuestion {
  readonly account: AccountView;
  readonly rules: readonly RegistryRule[];
  readonly namespaceLabels: Readonly<Record<string, string>>;
  readonly namespaceOptedIn: boolean;
  readonly policy: Policy;
  /** The account that a record names for this Secret; undefined without a record. */
  readonly ownerOf: (secret: string) => string | undefined;
  /** Epoch milliseconds. */
  readonly now: number;
}

/**
 * Every static pull secret of the account, in its order. A name like ours is none unless a record says that it is another
 * account's: which of ours an account with `enforce-mountable-secrets` lists depends on images, and its pods are judged.
 */
export function accountFindingsOf(question: AccountQuestion): Finding[] {
  const { account, policy, ownerOf, now } = question;
  if (policy.inherited === 'allowed') return [];
  const annotated = new Set(annotatedNames(question));
  const isOurs = (secret: string) => {
    const owner = ownerOf(secret);
    if (owner !== undefined) return owner === account.name;
    return secret.startsWith(SECRET_PREFIX) || annotated.has(secret);
  };
  const cure = cureFor(question);
  const subject = { namespace: account.namespace, serviceAccount: account.name };
  return [...new Set(account.pullSecrets)]
    .filter((secret) => !isOurs(secret))
    .map((secret) => {
      const what = whatIs(account.name, secret);
      const exemption = exemptionFor(policy, subject, secret, now);
      const message = `${what}; ${cure} (${accountHint(account)})`;
      return { secret, origin: 'explicit', what, cure, message, ...(exemption && { exemption }) };
    });
}

/** The command that shows more. */
export function accountHint({ namespace }: AccountView): string {
  return `keyless-pull audit -n ${namespace} shows what uses it`;
}

/** Names that the account itself chose, where a rule lets it. */
function annotatedNames({ account, rules }: AccountQuestion): string[] {
  const host = account.annotations[PROVISIONER_REGISTRY];
  if (host === undefined) return [];
  return rules
    .filter((rule) => rule.secretName === 'annotation' && servesHost(rule, host))
    .flatMap((rule) => principalsOf(rule, account, host).principals)
    .flatMap(({ secretName }) => secretName ?? []);
}

function whatIs(account: string, secret: string): string {
  const what = `${JSON.stringify(secret)} in imagePullSecrets of ServiceAccount ${account}`;
  if (secret.startsWith(SECRET_PREFIX)) return `${what} is another account's credential: remove that line`;
  return isPlatformMade(secret)
    ? `${what} is a static pull secret that the platform puts there: its pods need an exemption of ${JSON.stringify(secret.replace(/[^-]*$/, '*'))}`
    : `${what} is a static pull secret, which its pods inherit: remove that line`;
}

function cureFor({ account, rules, namespaceLabels, namespaceOptedIn }: AccountQuestion): string {
  const hosts = rules
    .filter((rule) => ruleSpeaksOf(rule, account.name, namespaceLabels))
    .flatMap((rule) => rule.hosts);
  if (hosts.length === 0)
    return "no rule is for this account: ask the cluster's administrators for one if its pods pull private images";
  const start = namespaceOptedIn ? '' : `${OPT_IN} and `;
  return `${start}keyless-pull gives its pods credentials of their own for ${listOf(hosts)}`;
}
