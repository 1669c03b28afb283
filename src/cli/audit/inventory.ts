// Every registry host in use, and how pods get in there today; and the accounts that other tools have given an identity.
import { whyImpossible } from '../../core/impossible-registries.ts';
import { principalsOf } from '../../core/identity-parameters.ts';
import { ruleSpeaksOf, type RegistryRule } from '../../core/registry-rule.ts';
import { families } from '../../registry/families.ts';
import { newCounts, type Usage } from './usage.ts';
import { WAYS, type IdentityLine, type InventoryLine, type Way } from './report.ts';
import type { FamilyFacts, ParameterGrammar } from '../../core/registry-family.ts';
import type { Collection } from './collection.ts';

interface Tally {
  readonly pods: Record<Way, number>;
  readonly workloads: Record<Way, number>;
  readonly accounts: Set<string>;
  readonly rules: Set<string>;
}

/** Most pods first. */
export function inventoryOf(usages: readonly Usage[]): InventoryLine[] {
  const tallies = new Map<string, Tally>();
  for (const { namespace, shape, hosts } of usages) {
    for (const [host, use] of hosts) {
      const tally = tallies.get(host) ?? {
        pods: newCounts(),
        workloads: newCounts(),
        accounts: new Set(),
        rules: new Set(),
      };
      tallies.set(host, tally);
      tally.workloads[use.way]++;
      for (const way of WAYS) tally.pods[way] += use.pods[way];
      tally.accounts.add(`${namespace}/${shape.account}`);
      for (const rule of use.rules) tally.rules.add(rule);
    }
  }
  return [...tallies]
    .map(([host, { pods, workloads, accounts, rules }]) => ({
      host,
      pods: sumOf(pods),
      workloads: sumOf(workloads),
      accounts: accounts.size,
      ways: Object.fromEntries(
        WAYS.map((way) => [way, { pods: pods[way], workloads: workloads[way] }]),
      ) as InventoryLine['ways'],
      rules: [...rules].toSorted(),
      impossible: whyImpossible(host) ?? null,
    }))
    .toSorted(
      (one, other) =>
        other.pods - one.pods || other.workloads - one.workloads || (one.host < other.host ? -1 : 1),
    );
}

function sumOf(counts: Readonly<Record<Way, number>>): number {
  return WAYS.reduce((sum, way) => sum + counts[way], 0);
}

const CLOUDS: readonly (readonly [RegExp, string])[] = [
  [/^eks\.amazonaws\.com\//, 'Amazon EKS'],
  [/^(?:azure\.workload\.identity|kubernetes\.azure\.com)\//, 'Azure'],
  [/^(?:iam\.gke\.io|gcp\.auth\.fluxcd\.io)\//, 'Google'],
  [/^imagepullsecrets\.preferred\.jp\//, 'image-pull-secrets-provisioner'],
];

/** The annotations of others that some family knows, with what a value looks like. */
const FOREIGN: ReadonlyMap<string, ParameterGrammar> = new Map(
  Object.values<FamilyFacts>(families).flatMap(({ parameters }) =>
    Object.values(parameters).flatMap((grammar) =>
      (grammar.foreign ?? []).map((name): [string, ParameterGrammar] => [name, grammar]),
    ),
  ),
);

/** Sorted by namespace, account and annotation. */
export function identitiesOf(
  { accounts, namespaces }: Collection,
  rules: readonly RegistryRule[],
): IdentityLine[] {
  const lines: IdentityLine[] = [];
  for (const { namespace, name, annotations } of accounts.values()) {
    for (const [annotation, value] of Object.entries(annotations)) {
      const cloud = CLOUDS.find(([pattern]) => pattern.test(annotation))?.[1];
      const grammar = FOREIGN.get(annotation);
      if (cloud === undefined || !grammar) continue;
      const labels = namespaces.get(namespace)?.labels ?? {};
      const speaking = rules.filter((rule) => ruleSpeaksOf(rule, name, labels));
      const accepting = speaking.filter((rule) =>
        reads(rule, { name, annotations: { [annotation]: value } }),
      );
      const could = speaking.filter((rule) => !accepting.includes(rule) && knows(rule, annotation));
      const isGood = value.split(',').every((part) => grammar.pattern.test(part.trim()));
      lines.push({
        namespace,
        account: name,
        cloud,
        annotation,
        value: isGood ? value : null,
        acceptedBy: accepting.map((rule) => rule.name),
        couldBeAcceptedBy: could.map((rule) => rule.name),
      });
    }
  }
  const keyOf = (line: IdentityLine) => `${line.namespace}/${line.account}/${line.annotation}`;
  return lines.toSorted((one, other) => (keyOf(one) < keyOf(other) ? -1 : 1));
}

/** Which annotations a rule reads is the same for all of its hosts. */
function reads(rule: RegistryRule, account: { name: string; annotations: Record<string, string> }): boolean {
  return principalsOf(rule, account, rule.hosts[0] ?? '').isAnnotated;
}

function knows({ family }: RegistryRule, annotation: string): boolean {
  return Object.values(family.parameters).some(({ foreign }) => foreign?.includes(annotation));
}
