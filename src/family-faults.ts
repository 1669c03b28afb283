// What a rule says that its registry family does not know: hosts, allow-list, endpoints, parameters.
import * as z from 'zod';
import { faultOfValues, valuesOf } from './core/identity-parameters.ts';
import { isCovered, type FamilyFacts } from './core/registry-family.ts';
import type { RawRule, Refuse } from './cross-faults.ts';

const Wish = z
  .object({
    from: z.string().catch(''),
    value: z.string().optional().catch(undefined),
    accept: z.array(z.string().catch('')).catch([]),
  })
  .catch({ from: '', value: undefined, accept: [] });

export function familyFaults(rule: RawRule, family: FamilyFacts, refuse: Refuse): void {
  const { kind, endpoint, endpoints = {} } = rule.exchange;
  hostFaults(rule, family, refuse);
  if (rule.registries && !family.hosts?.registries)
    refuse(['registries'], `hosts of ${kind} name no registry that could be listed`);
  for (const [index, registry] of (rule.registries ?? []).entries()) {
    const { registryPattern, registries } = family.hosts ?? {};
    if (registryPattern && typeof registry === 'string' && !registryPattern.test(registry))
      refuse(['registries', index], `this is none of ${kind}'s ${registries}`);
  }
  for (const key of ['endpoint', 'endpoints', 'certificateAuthorityFile']) {
    if (family.endpoints.length === 0 && rule.exchange[key] !== undefined)
      refuse(['exchange', key], `${kind} calls no endpoint`);
  }
  const known = family.endpoints.join(', ');
  for (const name of Object.keys(endpoints)) {
    if (family.endpoints.length > 0 && !family.endpoints.includes(name))
      refuse(['exchange', 'endpoints', name], `${kind} has the endpoints ${known}`);
  }
  if (family.needsEndpoint && !endpoint && !family.endpoints.some((name) => name in endpoints))
    refuse(['exchange', 'endpoint'], `is required: ${kind} has no public token service`);
  const names = Object.keys(family.parameters);
  for (const name of Object.keys(rule.parameters)) {
    if (!Object.hasOwn(family.parameters, name)) {
      const what =
        names.length > 0 ? `${kind} has the parameters ${names.join(', ')}` : `${kind} has no parameters`;
      refuse(['parameters', name], what);
    }
  }
  for (const [name, grammar] of Object.entries(family.parameters)) {
    const wish = rule.parameters[name];
    if (wish === undefined && grammar.isRequired)
      refuse(['parameters'], `${kind} needs ${name}: say { from: annotation } or { from: rule, value: … }`);
    const { from, value, accept } = Wish.parse(wish);
    if (grammar.isRulesAlone && from === 'annotation')
      refuse(['parameters', name, 'from'], `${name} is the administrator's to say: write from: rule`);
    for (const [index, entry] of accept.entries()) {
      const isEmpty =
        entry.endsWith('/*') && !grammar.foreign?.some((one) => one.startsWith(entry.slice(0, -1)));
      if (isEmpty)
        refuse(
          ['parameters', name, 'accept', index],
          `no annotation of ${entry} is known to mean ${name}: name it whole`,
        );
    }
    const fault = value !== undefined && faultOfValues(name, valuesOf(value, grammar), grammar);
    if (fault) refuse(['parameters', name, 'value'], fault);
  }
}

function hostFaults(rule: RawRule, family: FamilyFacts, refuse: Refuse): void {
  const { kind } = rule.exchange;
  for (const [index, host] of rule.hosts.entries()) {
    const isWild = host.includes('*');
    const refuseHost = (message: string) => refuse(['hosts', index], message);
    if (!family.hosts && isWild)
      refuseHost(
        kind === 'pass-through'
          ? 'pass-through hands the token to the host: name it whole, without "*"'
          : `${kind} sends the token to where the host says: name it whole, without "*"`,
      );
    if (!family.hosts) continue;
    if (isWild ? !isCovered(host, family.hosts) : !family.hosts.partsOf(host))
      refuseHost(
        `this is no host of ${kind}: those are like ${family.hosts.patterns.slice(0, 4).join(', ')}`,
      );
    else if (!isWild && isUnlisted(rule, family.hosts.partsOf(host)?.['registry']))
      refuseHost('its registry is not among the registries of this rule');
    else if (isWild && family.hosts.registries && !rule.registries)
      refuseHost(
        `"*" would speak of everybody's registries: list yours as registries (${family.hosts.registries})`,
      );
  }
}

function isUnlisted({ registries }: RawRule, registry: string | undefined): boolean {
  return registries !== undefined && registry !== undefined && !registries.includes(registry);
}
