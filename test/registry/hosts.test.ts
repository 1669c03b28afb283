// Which hosts are a family's, and where a token may be sent on their behalf: every line of hosts.yaml. What is not a host
// of the family in every label is never asked for a credential, whatever a rule's wildcards would let through.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import * as yaml from 'yaml';
import * as z from 'zod';
import { parseConfig } from '../../src/config.ts';
import { isCovered } from '../../src/core/registry-family.ts';
import { ruleForHost, servesHost, type RegistryRule } from '../../src/core/registry-rule.ts';
import { families } from '../../src/registry/families.ts';
import type { RegistryFamily } from '../../src/registry/registry-family.ts';
import { problemOf } from './set-up.ts';
import { ruleFrom } from '../fakes/builders.ts';

const Table = z.record(
  z.string(),
  z.strictObject({
    good: z.record(z.string(), z.record(z.string(), z.string())),
    refused: z.record(z.string(), z.array(z.string())),
  }),
);
const table = Table.parse(yaml.parse(readFileSync(new URL('hosts.yaml', import.meta.url), 'utf8')));
const known: Readonly<Record<string, RegistryFamily>> = families;

/** As wide as a rule of this family can be. */
function widest(kind: string, registries?: readonly string[]): RegistryRule {
  const hosts = known[kind]?.hosts?.patterns ?? [];
  return ruleFrom({ hosts, exchange: { kind }, ...(registries && { registries }) });
}

function configWith(kind: string, host: string): string {
  const parameters = Object.fromEntries(
    Object.entries(known[kind]?.parameters ?? {})
      .filter(([, { isRulesAlone }]) => !isRulesAlone)
      .map(([name]) => [name, { from: 'annotation' }]),
  );
  const rule = { name: 'one', hosts: [host], audience: 'one', exchange: { kind }, parameters };
  return yaml.stringify({ apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules: [rule] });
}

test('the table speaks of every family with hosts of its own, in more than 150 hosts', () => {
  const withHosts = Object.entries(known).flatMap(([kind, { hosts }]) => (hosts ? [kind] : []));
  const counted = Object.values(table).flatMap(({ good, refused }) => [
    ...Object.keys(good),
    ...Object.values(refused).flat(),
  ]);

  expect(Object.keys(table).toSorted()).toEqual(withHosts.toSorted());
  expect(new Set(counted).size).toBeGreaterThan(150);
});

describe.for(Object.entries(table))('%s', ([kind, { good, refused }]) => {
  const { hosts } = known[kind]!; // the first test says that it is there

  test.for(Object.entries(good))('%s is read in all its parts', ([host, parts]) => {
    expect(hosts?.partsOf(host)).toEqual(parts);
    expect(hosts && isCovered(host, hosts)).toBe(true);
    const { registry } = parts;
    const rule = widest(kind, registry === undefined ? undefined : [registry]);
    expect(servesHost(rule, host)).toBe(true);
    expect(ruleForHost([rule], host, () => true)).toBe(rule);
    expect(parseConfig(configWith(kind, host), 'config').rules).toHaveLength(1);
  });

  test.for(Object.entries(good).filter(([, { registry }]) => registry !== undefined))(
    '%s is served by no rule that lists other registries',
    ([host]) => {
      expect(servesHost(widest(kind, ['somebody-else']), host)).toBe(false);
    },
  );

  describe.for(Object.entries(refused))('no token is sent where %s', ([, hostile]) => {
    test.for(hostile)('%j', async (host) => {
      expect(hosts?.partsOf(host)).toBeUndefined();
      expect(servesHost(widest(kind), host)).toBe(false);
      expect(ruleForHost([widest(kind)], host, () => true)).toBeUndefined();
      const refusal = await problemOf(Promise.try(() => parseConfig(configWith(kind, host), 'config')));
      expect(refusal.code).toBe('config-invalid');
    });
  });
});
