// Annotations are written by tenants: whatever stands in them, no other text reaches an exchange than its family allows.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { principalsOf } from '../../src/core/identity-parameters.ts';
import { families } from '../../src/registry/families.ts';
import { aRule } from './builders.ts';
import { samples } from './samples.ts';
import type { FamilyFacts } from '../../src/core/registry-family.ts';

test('whatever a tenant writes, there are faults, or principals whose every parameter is as its family wants it', () => {
  const kinds = Object.keys(samples);
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom(...kinds.flatMap((kind) => Object.values(samples[kind]?.values ?? {}))),
    fc.stringMatching(/^[a-z+:/,.\n -]{0,30}$/),
  );
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fc.infiniteStream(text), fc.boolean(), (kind, texts, isWild) => {
      const { host } = samples[kind] ?? { host: '' };
      const family: FamilyFacts = families[kind as keyof typeof families];
      const keys = Object.keys(family.parameters);
      const annotations = Object.fromEntries(
        keys.flatMap((key) => [
          [`keyless-pull.dev/${key}`, texts.next().value],
          ...(family.parameters[key]?.foreign ?? []).map((name) => [name, texts.next().value]),
        ]),
      );
      const accept = (key: string) =>
        (family.parameters[key]?.foreign ?? []).map((name) => (isWild ? name.replace(/\/.*/, '/*') : name));
      const rule = aRule({
        hosts: [host],
        exchange: { kind },
        parameters: Object.fromEntries(keys.map((key) => [key, { from: 'annotation', accept: accept(key) }])),
      });

      const { principals, faults } = principalsOf(rule, { name: 'a', annotations }, host);

      expect(principals.length === 0).toBe(faults.length > 0);
      for (const { parameters } of principals) {
        for (const [key, value] of Object.entries(parameters)) {
          expect(family.parameters[key]?.pattern.test(value)).toBe(true);
        }
        for (const [key, { isRequired }] of Object.entries(family.parameters)) {
          if (isRequired) expect(parameters[key]).toBeDefined();
        }
      }
    }),
    { numRuns: 1000 },
  );
});
