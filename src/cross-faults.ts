// What no single field of the config can tell: rules that contradict one another or their family.
import * as z from 'zod';
import { familyFaults } from './family-faults.ts';
import { readsNamespaceLabels, Subject } from './core/rule-subject.ts';
import { whyImpossible } from './core/impossible-registries.ts';
import type { Fault } from './config.ts';
import type { FamilyFacts } from './core/registry-family.ts';

const text = z.string().catch('');
const texts = z.array(text).catch([]);
const RawRule = z.object({
  name: text,
  hosts: texts,
  registries: z.array(z.unknown()).optional().catch(undefined),
  audience: text,
  acceptAudiences: texts,
  exchange: z
    .looseObject({
      kind: text,
      endpoint: z.string().optional().catch(undefined),
      endpoints: z.record(z.string(), z.unknown()).optional().catch(undefined),
    })
    .catch({ kind: '' }),
  parameters: z.record(z.string(), z.unknown()).catch({}),
  delivery: z.array(text).catch(['secret']),
  inPod: texts,
  audienceRights: text,
  token: z.object({ inject: text }).catch({ inject: '' }),
  subjects: z.array(z.unknown()).catch([]),
});
export type RawRule = z.output<typeof RawRule>;
const RawConfig = z
  .object({ rules: z.array(RawRule.catch(RawRule.parse({}))).catch([]) })
  .catch({ rules: [] });

type Families = Readonly<Record<string, FamilyFacts>>;
/** Adds a fault of the rule at hand. */
export type Refuse = (path: readonly PropertyKey[], message: string) => void;

/** Rules that would answer for one another, send tokens where they could be replayed, or ask for what cannot be. */
export function crossFaults(raw: unknown, families: Families): Fault[] {
  const faults: Fault[] = [];
  const { rules } = RawConfig.parse(raw);
  for (const [at, rule] of rules.entries()) {
    const refuse: Refuse = (path, message) => faults.push({ path: ['rules', at, ...path], message });
    const earlier = rules.slice(0, at);
    if (rule.name && earlier.some((other) => other.name === rule.name))
      refuse(['name'], `another rule is called ${rule.name}`);
    for (const [index, host] of rule.hosts.entries()) {
      const taken = host && earlier.find((other) => other.hosts.includes(host));
      if (taken) refuse(['hosts', index], `rule ${taken.name} has the same host`);
      const impossible = whyImpossible(host);
      if (impossible) refuse(['hosts', index], impossible);
    }
    if (rule.delivery.includes('kubelet') && rule.token.inject === 'none' && rule.audienceRights !== 'rbac')
      refuse(['token', 'inject'], 'delivery kubelet needs the token volume, or audienceRights: rbac');
    if (rule.inPod.includes('token') && rule.token.inject === 'none')
      refuse(['inPod'], 'token.inject: none gives no pod a token');
    if (rule.inPod.includes('docker-config') && !rule.delivery.includes('secret'))
      refuse(['inPod'], 'docker-config mounts the Secret of delivery secret');
    const family = Object.hasOwn(families, rule.exchange.kind) ? families[rule.exchange.kind] : undefined;
    if (family) {
      familyFaults(rule, family, refuse);
      audienceFaults(rules, at, family, families, refuse);
    }
    if (rule.delivery.includes('kubelet')) kubeletFaults(rule, refuse);
  }
  return faults;
}

/** A registry that is given the token itself could replay it; a token service that is not could still pass it on. */
function audienceFaults(
  rules: readonly RawRule[],
  at: number,
  family: FamilyFacts,
  families: Families,
  refuse: Refuse,
): void {
  const rule = rules[at];
  if (!rule) return;
  const own = [rule.audience, ...rule.acceptAudiences];
  for (const [index, audience] of own.entries()) {
    const sharer = rules.find(
      (other, place) =>
        place !== at &&
        audience !== '' &&
        [other.audience, ...other.acceptAudiences].includes(audience) &&
        !isSameReceiver(rule, other, family, families),
    );
    const path = index === 0 ? ['audience'] : ['acceptAudiences', index - 1];
    if (sharer) {
      refuse(
        path,
        `rule ${sharer.name} uses the same audience: a registry that is given the token itself could replay it there`,
      );
    }
  }
}

function isSameReceiver(rule: RawRule, other: RawRule, family: FamilyFacts, families: Families): boolean {
  const theirs = Object.hasOwn(families, other.exchange.kind) ? families[other.exchange.kind] : undefined;
  if (theirs?.receiver !== family.receiver || family.receiver === 'host') return false;
  return placeOf(rule, family) === placeOf(other, family);
}

/** Where a rule sends the ServiceAccount token, if it is not the family's public service. */
function placeOf({ exchange: { endpoint, endpoints = {} } }: RawRule, family: FamilyFacts): unknown {
  return endpoints[family.endpoints[0] ?? ''] ?? endpoint;
}

/** What the kubelet's plugin is told is the account and its token: of a namespace it knows the name. */
function kubeletFaults({ subjects }: RawRule, refuse: Refuse): void {
  for (const [index, subject] of subjects.entries()) {
    const { success, data } = Subject.safeParse(subject);
    if (!success || !readsNamespaceLabels(data)) continue;
    refuse(
      ['subjects', index, 'namespaceSelector'],
      'with delivery kubelet, select namespaces by kubernetes.io/metadata.name alone: on a node nobody knows their other labels',
    );
  }
}
