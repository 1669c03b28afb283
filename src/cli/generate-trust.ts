// keyless-pull generate trust: what the other side needs so that one account may pull under one rule.
import { loadConfig, type Config } from '../config.ts';
import { principalsOf } from '../core/identity-parameters.ts';
import { viewAccount } from '../core/pod-view.ts';
import { partsOf } from '../core/registry-family.ts';
import { servesHost, type RegistryRule } from '../core/registry-rule.ts';
import { Problem } from '../problem.ts';
import type { families } from '../registry/families.ts';
import { HttpsUrl } from '../token-server/trusted-issuer.ts';
import { readManifests } from './manifests.ts';
import { writeResult, type CommandIo, type ExitCode, type OutputForm } from './output.ts';
import { familyTrusts } from './trust/family-trusts.ts';
import { trustText } from './trust/trust-text.ts';
import type { Chosen, FamilyTrust, Trust, TrustForm } from './trust/trust.ts';

export interface GenerateTrustOptions {
  readonly config: string;
  readonly rule: string;
  /** `namespace/name` */
  readonly account: string;
  readonly issuer?: string;
  /** Absent: the family's first. */
  readonly format?: TrustForm;
  readonly accountFile?: string;
  /** Absent: the rule's only host. */
  readonly host?: string;
  readonly output: OutputForm;
}

/** 1 if the trust is written down but will not work. @throws Problem usage, config-invalid or file-unreadable */
export async function generateTrust(options: GenerateTrustOptions, io: CommandIo): Promise<ExitCode> {
  const rule = ruleOf(loadConfig(options.config), options.rule);
  const family = familyTrusts[rule.exchange.kind as keyof typeof families]; // the schema lets no other kind pass
  const trust = await trustOf(options, rule, family, io);
  const refusal = family.refusal?.(trust);
  if (refusal !== undefined) throw wrong(refusal);
  const { form, text, notes, faults } = trustText(family, trust, formOf(options, rule, family));
  const { kind, host, issuer, audience, subject, chosen } = trust;
  const result = { rule: rule.name, exchange: kind, registry: host, issuer, audience, subject, format: form };
  writeResult(io, options.output, { ...result, chosen, notes, faults, text }, () => text);
  for (const fault of faults) io.err(`${fault}\n`);
  return faults.length > 0 ? 1 : 0;
}

function wrong(sentence: string): Problem {
  return new Problem('usage', sentence);
}

function ruleOf({ rules }: Config, name: string): RegistryRule {
  const rule = rules.find((one) => one.name === name);
  if (!rule) throw wrong(`no rule is called ${name}: there are ${rules.map((one) => one.name).join(', ')}`);
  return rule;
}

function formOf({ format }: GenerateTrustOptions, rule: RegistryRule, { forms }: FamilyTrust): TrustForm {
  const [first = 'commands', ...others] = Object.keys(forms) as TrustForm[]; // keys of Partial<Record<TrustForm, …>>
  if (format === undefined || forms[format]) return format ?? first;
  const known = others.length > 0 ? `the formats ${[first, ...others].join(', ')}` : `one format, ${first}`;
  throw wrong(`${rule.exchange.kind} has ${known}`);
}

async function trustOf(
  options: GenerateTrustOptions,
  rule: RegistryRule,
  family: FamilyTrust,
  io: CommandIo,
): Promise<Trust> {
  const issuer = issuerOf(options.issuer);
  const [namespace, account] = namesOf(options.account);
  const host = hostOf(rule, options.host);
  const parts = partsOf(rule, host) ?? {};
  const annotations = options.accountFile
    ? await annotationsOf(options.accountFile, namespace, account, io)
    : {};
  const choices = Object.entries(family.choose ?? {})
    .filter(([key]) => rule.parameters?.[key] && rule.parameters[key].value === undefined)
    .map(([parameter, choose]): Chosen => ({ parameter, ...choose({ namespace, account, host, parts }) }));
  const { principals, faults } = principalsOf(
    withDefaults(rule, choices),
    { name: account, annotations },
    host,
  );
  if (faults.length > 0) throw wrong(faults.join('; '));
  const parameters = principals.map((principal) => principal.parameters);
  const set = Object.values(annotations);
  return {
    rule: rule.name,
    kind: rule.exchange.kind,
    host,
    parts,
    issuer,
    audience: principals[0]?.audience ?? rule.audience,
    namespace,
    account,
    subject: `system:serviceaccount:${namespace}:${account}`,
    principals: parameters,
    chosen: choices.filter(
      ({ parameter, value }) =>
        parameters.some((each) => each[parameter] === value) && !set.some((text) => text.includes(value)),
    ),
    endpoint: rule.exchange.endpoint ?? Object.values(rule.exchange.endpoints ?? {})[0],
  };
}

/** The account's annotations still win. */
function withDefaults(rule: RegistryRule, choices: readonly Chosen[]): RegistryRule {
  const parameters = { ...rule.parameters };
  for (const { parameter, value } of choices) {
    const wish = parameters[parameter];
    if (wish) parameters[parameter] = { ...wish, value };
  }
  return { ...rule, parameters };
}

/** RFC 3986 without the rest: what goes into policies and commands has no surprises in it. */
const URL_CHARACTERS = /^[\w.~:/[\]@!$&'()*+,;=%-]+$/;

function issuerOf(text: string | undefined): string {
  if (text === undefined) {
    throw wrong(
      "--issuer is needed, the cluster's issuer letter by letter: kubectl get --raw /.well-known/openid-configuration shows it",
    );
  }
  if (!HttpsUrl.safeParse(text).success || !URL_CHARACTERS.test(text))
    throw wrong('--issuer is no https URL without user, query and fragment, as the cluster writes it');
  return text;
}

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/;

function namesOf(text: string): [string, string] {
  const [namespace = '', account = '', ...more] = text.split('/');
  if (!LABEL.test(namespace) || !SUBDOMAIN.test(account) || more.length > 0)
    throw wrong('--account is written NAMESPACE/NAME, both as Kubernetes has them');
  return [namespace, account];
}

function hostOf(rule: RegistryRule, wanted: string | undefined): string {
  const [only = '', ...others] = rule.hosts;
  if (wanted === undefined) {
    if (others.length === 0 && !only.includes('*')) return only;
    throw wrong(`rule ${rule.name} has the hosts ${rule.hosts.join(', ')}: say which one with --host`);
  }
  if (!servesHost(rule, wanted)) throw wrong(`rule ${rule.name} does not serve ${wanted}`);
  return wanted;
}

async function annotationsOf(
  file: string,
  namespace: string,
  name: string,
  io: CommandIo,
): Promise<Readonly<Record<string, string>>> {
  const manifests = await readManifests(file, namespace, io);
  const found = manifests.find(
    (one) => one.kind === 'ServiceAccount' && one.namespace === namespace && one.name === name,
  );
  if (!found) throw wrong(`${file} has no ServiceAccount ${namespace}/${name}`);
  return viewAccount(found.object).annotations;
}
