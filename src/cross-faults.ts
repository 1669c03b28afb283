// What no single field of the config can tell: rules that contradict one another, and parts that are not built yet.
import * as z from 'zod';
import { exchangeKinds } from './core/registry-rule.ts';
import type { Fault } from './config.ts';

const RawRule = z.object({
  name: z.string().catch(''),
  hosts: z.array(z.string().catch('')).catch([]),
  audience: z.string().catch(''),
  exchange: z.object({ kind: z.string().catch('') }).catch({ kind: '' }),
  delivery: z.array(z.string().catch('')).catch([]),
  audienceRights: z.string().catch(''),
  token: z.object({ inject: z.string().catch('') }).catch({ inject: '' }),
});
const RawWorker = z
  .object({ worker: z.object({ heal: z.string().catch('') }).catch({ heal: '' }) })
  .catch({ worker: { heal: '' } });
const RawRules = z
  .object({ rules: z.array(RawRule.catch(RawRule.parse({}))).catch([]) })
  .catch({ rules: [] });

/** Rules that would answer for one another, or let one registry replay another's token. */
export function crossFaults(raw: unknown): Fault[] {
  const faults: Fault[] = [];
  const { rules } = RawRules.parse(raw);
  for (const [at, rule] of rules.entries()) {
    const path = ['rules', at];
    const earlier = rules.slice(0, at);
    if (rule.name && earlier.some((other) => other.name === rule.name)) {
      faults.push({ path: [...path, 'name'], message: `another rule is called ${rule.name}` });
    }
    for (const [index, host] of rule.hosts.entries()) {
      const taken = host && earlier.find((other) => other.hosts.includes(host));
      if (taken)
        faults.push({ path: [...path, 'hosts', index], message: `rule ${taken.name} has the same host` });
    }
    if (rule.exchange.kind === 'pass-through') faults.push(...passThroughFaults(rules, at));
    if (rule.delivery.includes('kubelet') && rule.token.inject === 'none' && rule.audienceRights !== 'rbac') {
      faults.push({
        path: [...path, 'token', 'inject'],
        message: 'delivery kubelet needs the token volume, or audienceRights: rbac',
      });
    }
    faults.push(...notBuiltInRule(raw, at));
  }
  if (RawWorker.parse(raw).worker.heal === 'evict')
    faults.push({ path: ['worker', 'heal'], message: notBuilt('heal: evict') });
  return faults;
}

function passThroughFaults(rules: z.output<typeof RawRules>['rules'], at: number): Fault[] {
  const faults: Fault[] = [];
  const rule = rules[at];
  for (const [index, host] of (rule?.hosts ?? []).entries()) {
    if (host.includes('*')) {
      faults.push({
        path: ['rules', at, 'hosts', index],
        message: 'pass-through hands the token to the host: name it whole, without "*"',
      });
    }
  }
  const sharer = rules.find(
    (other, index) => index !== at && other.audience !== '' && other.audience === rule?.audience,
  );
  if (sharer) {
    faults.push({
      path: ['rules', at, 'audience'],
      message: `rule ${sharer.name} uses the same audience: a registry that is given the token itself could replay it there`,
    });
  }
  return faults;
}

const LooseMap = z.looseObject({}).catch({});
const LooseRules = z.object({ rules: z.array(LooseMap).catch([]) }).catch({ rules: [] });

/** Parts of the schema that this version only parses. Each is refused by its own name, never ignored. */
function notBuiltInRule(raw: unknown, at: number): Fault[] {
  const rule = LooseRules.parse(raw).rules[at] ?? {};
  const faults: Fault[] = [];
  const refuse = (path: readonly PropertyKey[], what: string) => {
    faults.push({ path: ['rules', at, ...path], message: notBuilt(what) });
  };
  const exchange = LooseMap.parse(rule['exchange']);
  const kind = exchange['kind'];
  const family = exchangeKinds.find((one) => one === kind);
  if (family && family !== 'pass-through') refuse(['exchange', 'kind'], `exchange kind ${family}`);
  if (kind === 'pass-through') {
    for (const key of ['endpoint', 'certificateAuthorityFile']) {
      if (!(key in exchange)) continue;
      faults.push({ path: ['rules', at, 'exchange', key], message: 'pass-through calls no endpoint' });
    }
  }
  for (const key of ['acceptAudiences', 'parameters', 'registries', 'inPod']) {
    const isEmptyList = Array.isArray(rule[key]) && rule[key].length === 0;
    if (key in rule && !isEmptyList) refuse([key], key);
  }
  if (rule['prewarm'] === true) refuse(['prewarm'], 'prewarm');
  if (rule['secretName'] === 'annotation') refuse(['secretName'], 'secretName: annotation');
  const delivery: unknown = rule['delivery'];
  if (Array.isArray(delivery) && delivery.includes('kubelet')) refuse(['delivery'], 'delivery kubelet');
  if (LooseMap.parse(rule['token'])['inject'] === 'mount') refuse(['token', 'inject'], 'inject: mount');
  return faults;
}

function notBuilt(what: string): string {
  return `${what} is not built in this version`;
}
