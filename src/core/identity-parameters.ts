// Whom an account becomes at a registry: the parameters of an exchange, from the rule and from the account's annotations,
// ours and those of other tools. No destination ever comes from here: hosts are the rule's.
import { digestOf } from './pull-credential.ts';
import { partsOf, type ParameterGrammar } from './registry-family.ts';
import { API_GROUP, SECRET_PREFIX } from './vocabulary.ts';
import type { RegistryRule } from './registry-rule.ts';
import type { AccountView } from './pod-view.ts';

/** One principal of an account at one host under one rule, and all that an exchange reads of it. */
export interface Principal {
  /** Empty where the family knows none. */
  readonly name: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** The rule's own, or one of those that it accepts. */
  readonly audience: string;
  /** See `digestOf`. */
  readonly digest: string;
  /** Absent: computed. */
  readonly secretName?: string;
}

export interface Principals {
  readonly principals: readonly Principal[];
  /** One sentence each; with any of them there is no principal. */
  readonly faults: readonly string[];
  /** True if an annotation of the account was read: somebody wants this. */
  readonly isAnnotated: boolean;
  /** The first annotation that the account lacks. */
  readonly wants?: { readonly annotation: string; readonly looksLike: string };
}

/** The vocabulary of the image-pull-secrets-provisioner; all its keys count where one of them gave a value. */
export const PROVISIONER = 'imagepullsecrets.preferred.jp/';
export const PROVISIONER_REGISTRY = `${PROVISIONER}registry`;
/** A DNS subdomain, as Kubernetes wants the name of a Secret. */
const SECRET_NAME = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;
const MOST_PRINCIPALS = 16;
const LONGEST_VALUE = 2048;

/** What is remembered of one account under one rule; hosts are tenants' to invent, so it starts anew when it is full. */
const MOST_HOSTS = 256;
const known = new WeakMap<RegistryRule, WeakMap<object, Map<string, Principals>>>();

type Account = Pick<AccountView, 'name' | 'annotations'>;

/** A pure function of rule, account and host; remembered, because every pod of the account asks the same. */
export function principalsOf(rule: RegistryRule, account: Account, host: string): Principals {
  const ofRule = known.get(rule) ?? new WeakMap<object, Map<string, Principals>>();
  known.set(rule, ofRule);
  const ofAccount = ofRule.get(account) ?? new Map<string, Principals>();
  ofRule.set(account, ofAccount);
  if (!ofAccount.has(host) && ofAccount.size >= MOST_HOSTS) ofAccount.clear();
  const found = ofAccount.get(host) ?? read(rule, account, host);
  ofAccount.set(host, found);
  return found;
}

interface Found {
  readonly value: string;
  /** The annotation it came from; undefined: the rule. */
  readonly annotation?: string;
}

function read(rule: RegistryRule, account: Account, host: string): Principals {
  const { family } = rule;
  const { annotations } = account;
  const faults: string[] = [];
  const parameters: Record<string, string> = {};
  let principal: { readonly key: string; readonly values: readonly string[] } | undefined;
  const sources: string[] = [];
  let wants: Principals['wants'];
  const registry = annotations[PROVISIONER_REGISTRY];
  const provisionerIsMeant = registry === undefined || registry === host;

  for (const [key, grammar] of Object.entries(family.parameters)) {
    const found = find(rule, key, annotations, provisionerIsMeant);
    if (!found) {
      if (!grammar.isRequired) continue;
      faults.push(missing(rule, key, account, registry, host));
      wants ??= { annotation: annotationsFor(rule.name, key)[1], looksLike: grammar.looksLike };
      continue;
    }
    if (found.annotation) sources.push(found.annotation);
    const values = valuesOf(found.value, grammar);
    const fault = faultOfValues(key, values, grammar);
    if (fault !== undefined) {
      const where = found.annotation ? `annotation ${found.annotation}` : `rule ${rule.name}`;
      faults.push(`${where}: ${fault}`);
    } else if (grammar.isPrincipal) principal = { key, values };
    else parameters[key] = values[0] ?? '';
  }

  const isProvisioners = sources.some((annotation) => annotation.startsWith(PROVISIONER));
  const audience = isProvisioners
    ? (annotations[`${PROVISIONER}audience`]?.trim() ?? rule.audience)
    : rule.audience;
  if (audience !== rule.audience && !rule.acceptAudiences?.includes(audience)) {
    faults.push(
      `annotation ${PROVISIONER}audience: rule ${rule.name} takes the audience ${rule.audience} alone; acceptAudiences of the rule can name others`,
    );
  }
  const secretName = isProvisioners && registry === host ? secretNameOf(rule, account, faults) : undefined;
  const names = principal?.values ?? [''];
  const principals = names.map((name, at): Principal => {
    const own = { ...parameters, ...(principal && { [principal.key]: name }) };
    return {
      name,
      parameters: own,
      audience,
      digest: digestOf(rule, own, audience),
      // One Secret is one need: the name that somebody wrote down goes to the first of them.
      ...(at === 0 && secretName !== undefined && { secretName }),
    };
  });
  const parts = partsOf(rule, host) ?? {};
  for (const { parameters: own } of faults.length === 0 ? principals : []) {
    const fault = family.faultOf?.(own, parts);
    if (fault !== undefined) faults.push(`rule ${rule.name} at ${host}: ${fault}`);
  }
  const isAnnotated = sources.length > 0;
  return { principals: faults.length === 0 ? principals : [], faults, isAnnotated, ...(wants && { wants }) };
}

/** Its own annotation for this rule, then for every rule, then what the rule accepts of others; or the rule's own value. */
function find(
  rule: RegistryRule,
  key: string,
  annotations: Readonly<Record<string, string>>,
  provisionerIsMeant: boolean,
): Found | undefined {
  const wish = rule.parameters?.[key];
  if (!wish) return undefined;
  if (wish.from === 'rule' || rule.family.parameters[key]?.isRulesAlone)
    return wish.value === undefined ? undefined : { value: wish.value };
  for (const annotation of [...annotationsFor(rule.name, key), ...acceptedFor(rule, key)]) {
    if (annotation.startsWith(PROVISIONER) && !provisionerIsMeant) continue;
    const value = annotations[annotation];
    if (value !== undefined && value.trim() !== '') return { value, annotation };
  }
  return wish.value === undefined ? undefined : { value: wish.value };
}

/** Ours, the rule's own first. */
export function annotationsFor(rule: string, parameter: string): [string, string] {
  return [`${rule}.${API_GROUP}/${parameter}`, `${API_GROUP}/${parameter}`];
}

/** Other tools' annotations that the rule reads for a parameter; `…/*` is every one of that vocabulary that means it. */
export function acceptedFor(rule: RegistryRule, key: string): string[] {
  const foreign = rule.family.parameters[key]?.foreign ?? [];
  const accepted = rule.parameters?.[key]?.accept ?? [];
  return accepted.flatMap((entry) =>
    entry.endsWith('/*') ? foreign.filter((name) => name.startsWith(entry.slice(0, -1))) : [entry],
  );
}

/** One value, but for principals, which may be several with commas. */
export function valuesOf(text: string, { isPrincipal }: ParameterGrammar): string[] {
  return isPrincipal ? [...new Set(text.split(',').map((part) => part.trim()))] : [text.trim()];
}

/** The end of a sentence, or undefined. Never the value: it may be a secret in the wrong place, or steer a terminal. */
export function faultOfValues(
  key: string,
  values: readonly string[],
  { pattern, looksLike }: ParameterGrammar,
): string | undefined {
  if (values.length > MOST_PRINCIPALS) return `${key} lists ${MOST_PRINCIPALS} at most`;
  const areGood = values.every((value) => value.length <= LONGEST_VALUE && pattern.test(value));
  return areGood ? undefined : `${key} looks like ${looksLike}`;
}

function missing(
  rule: RegistryRule,
  key: string,
  account: Account,
  registry: string | undefined,
  host: string,
): string {
  const isElsewhere =
    registry !== undefined &&
    registry !== host &&
    acceptedFor(rule, key).some((a) => a.startsWith(PROVISIONER));
  const why = isElsewhere ? ` (its ${PROVISIONER}registry names another registry than ${host})` : '';
  return `ServiceAccount ${account.name} has no annotation ${annotationsFor(rule.name, key)[1]}, which rule ${rule.name} needs${why}`;
}

/** The provisioner's own default is what its users know their Secrets by. */
function secretNameOf(rule: RegistryRule, account: Account, faults: string[]): string | undefined {
  if (rule.secretName !== 'annotation') return undefined;
  const name = account.annotations[`${PROVISIONER}secret-name`] ?? `imagepullsecret-${account.name}`;
  // A computed name is another need's, of this account or of another one.
  if (SECRET_NAME.test(name) && !name.startsWith(SECRET_PREFIX)) return name;
  faults.push(
    `annotation ${PROVISIONER}secret-name: write the name of a Secret that does not begin with ${SECRET_PREFIX}`,
  );
  return undefined;
}
