// The first document of a case: what is asked, what is known, and what the webhook must say. Told in docs/testing.md.
import * as z from 'zod';
import { Policy } from '../../core/pull-policy.ts';
import { registryRule } from '../../core/registry-rule.ts';
import { families } from '../../registry/families.ts';
import type { FamilyFacts } from '../../core/registry-family.ts';

export const Rule = registryRule<FamilyFacts>(families);

const Known = z.strictObject({
  registry: z.string(),
  rule: z.string().default('team-registry'),
  account: z.string().optional(),
  principal: z.string().default(''),
  /** `other-account`: of an account of this name that was deleted; `other-rule`: of the rule as it was before. */
  standing: z.enum(['ready', 'refused', 'last-minute', 'other-account', 'other-rule']),
  code: z.string().default('exchange-refused'),
  message: z.string().default('the registry said no'),
});
export type Known = z.output<typeof Known>;

const Expectation = z.strictObject({
  verdict: z.enum(['allowed', 'patched', 'denied']),
  reason: z.string().optional(),
  /** The whole patch. */
  patch: z.array(z.looseObject({})).optional(),
  /** Paths of the patch, in order. */
  paths: z.array(z.string()).optional(),
  /** What the pod has afterwards. */
  pullSecrets: z.array(z.string()).optional(),
  gates: z.array(z.string()).optional(),
  annotation: z.string().optional(),
  /** What the pod must contain afterwards, at least. */
  result: z.looseObject({}).optional(),
  /** Part of each warning, in order; all of them. */
  warnings: z.array(z.string()).default([]),
  /** Parts of the denial's message. */
  denied: z.array(z.string()).default([]),
  /** Parts of audit annotations, by key. */
  audit: z.record(z.string(), z.string()).default({}),
});
export type Expectation = z.output<typeof Expectation>;

export const CaseHeader = z.strictObject({
  case: z.string().min(10, 'a case is called by a sentence'),
  path: z.enum(['/mutate', '/validate/enforce', '/validate/warn', '/validate/audit']).default('/mutate'),
  operation: z.string().default('CREATE'),
  subResource: z.string().default(''),
  dryRun: z.boolean().default(false),
  /** These three are the config's where a case has none. */
  rules: z.array(Rule).optional(),
  needsPerPod: z.int().optional(),
  policy: Policy.optional(),
  now: z.iso.datetime().default('2026-11-21T12:00:00Z'),
  worker: z.enum(['alive', 'dead']).default('alive'),
  /** Names of Secrets, for `$name` anywhere in the file: "account rule host", and the principal where there is one. */
  names: z.record(z.string().regex(/^[a-z]+$/, 'lower case letters'), z.string()).default({}),
  known: z.array(Known).default([]),
  /** Absent in a case that is being written: `--update` fills it in. */
  expect: Expectation.optional(),
});
