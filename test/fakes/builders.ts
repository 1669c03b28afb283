// Kubernetes objects, rules and needs as tests want them: whole and ordinary, but for what the test names.
import type { Identity, Need } from '../../src/core/pull-credential.ts';
import { principalsOf } from '../../src/core/identity-parameters.ts';
import { needFor, type PlannedNeed } from '../../src/core/pull-plan.ts';
import { registryRule, type RegistryRule } from '../../src/core/registry-rule.ts';
import type { FamilyFacts } from '../../src/core/registry-family.ts';
import { families } from '../../src/registry/families.ts';
import { GATE, INJECT_LABEL, MANAGED_LABEL } from '../../src/core/vocabulary.ts';

export const TEST_HOST = 'registry.team.example:5000';
/** The schema of rules, over the families that there are. */
export const Rule = registryRule<FamilyFacts>(families);

export const TEST_AUDIENCE = 'https://registry.team.example';

/** A pass-through rule for TEST_HOST, but for what is wished (in the config file's words). */
export function ruleFrom(wish: Partial<Record<keyof RegistryRule, unknown>> = {}): RegistryRule {
  return Rule.parse({
    name: 'team-registry',
    hosts: [TEST_HOST],
    audience: TEST_AUDIENCE,
    exchange: { kind: 'pass-through' },
    ...wish,
  });
}

/** The identity of an account that was made by a fake or a real cluster. */
export function identityOf(account: {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}): Identity {
  return { namespace: account.namespace, account: account.name, uid: account.uid };
}

/** What that account needs to pull from the first host of the rule. */
export function needOf(
  account: { readonly namespace: string; readonly name: string; readonly uid: string },
  rule?: RegistryRule,
): Need {
  return plannedOf(account, rule).need;
}

/** The same with its rule and principal; the account's annotations count where it has some. */
export function plannedOf(
  account: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly annotations?: Readonly<Record<string, string>>;
  },
  rule: RegistryRule = ruleFrom(),
  host: string = rule.hosts[0] ?? TEST_HOST,
): PlannedNeed {
  const { name, annotations = {} } = account;
  const { principals, faults } = principalsOf(rule, { name, annotations }, host);
  const [principal] = principals;
  if (!principal) throw new TypeError(faults.join('; '));
  return { need: needFor(identityOf(account), rule, host, principal), rule, principal };
}

export interface NamespaceWish {
  /** All labels; opted in when absent. */
  readonly labels?: Readonly<Record<string, string>>;
}

export interface AccountWish {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly imagePullSecrets?: readonly string[];
}

export interface PodWish {
  /** `default` when absent. */
  readonly serviceAccount?: string;
  /** One container each; one of TEST_HOST when absent. */
  readonly images?: readonly string[];
  /** With our gate (default), or without. */
  readonly gated?: boolean;
  readonly otherGates?: readonly string[];
  /** With our label (default), or without. */
  readonly managed?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly imagePullSecrets?: readonly string[];
  readonly phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  /** Merged over the spec. */
  readonly spec?: Readonly<Record<string, unknown>>;
}

export function namespaceManifest(
  name: string,
  { labels = { [INJECT_LABEL]: 'enabled' } }: NamespaceWish = {},
) {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

export function accountManifest(
  namespace: string,
  name: string,
  { annotations = {}, labels = {}, imagePullSecrets = [] }: AccountWish = {},
) {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { namespace, name, labels, annotations },
    ...(imagePullSecrets.length > 0 && {
      imagePullSecrets: imagePullSecrets.map((secret) => ({ name: secret })),
    }),
  };
}

/** A pod as our webhook leaves it, with label and gate. */
export function podManifest(namespace: string, name: string, wish: PodWish = {}) {
  const { gated = true, managed = true, otherGates = [], images = [`${TEST_HOST}/team/app:1`] } = wish;
  const schedulingGates = [...otherGates, ...(gated ? [GATE] : [])].map((gate) => ({ name: gate }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace,
      name,
      labels: { ...(managed && { [MANAGED_LABEL]: 'true' }), ...wish.labels },
      annotations: { ...wish.annotations },
    },
    spec: {
      serviceAccountName: wish.serviceAccount ?? 'default',
      containers: images.map((image, at) => ({ name: `container-${at}`, image })),
      ...(schedulingGates.length > 0 && { schedulingGates }),
      ...(wish.imagePullSecrets && {
        imagePullSecrets: wish.imagePullSecrets.map((secret) => ({ name: secret })),
      }),
      ...wish.spec,
    },
    status: { phase: wish.phase ?? 'Pending' },
  };
}

/** An Opaque Secret of somebody else. */
export function foreignSecret(namespace: string, name: string, data: Readonly<Record<string, string>> = {}) {
  return { apiVersion: 'v1', kind: 'Secret', type: 'Opaque', metadata: { namespace, name }, data };
}
