// The part of a rule that says how its exchange is made, and where the exchange's parameters come from.
import * as z from 'zod';
import { impossibleKinds } from './impossible-registries.ts';

const NO_ENDPOINT = 'an endpoint is an https URL, without user, password and "#"';
const USERNAME = /^[^:\p{Cc}\s]{1,255}$/u;

/** What stands before "@" would be a stored secret, and what follows "#" is never sent. */
const Endpoint = z
  .url({ protocol: /^https$/, error: NO_ENDPOINT, abort: true })
  .refine(
    (text) => !text.includes('#') && new URL(text).username === '' && new URL(text).password === '',
    NO_ENDPOINT,
  );

/** Kinds are the keys of the table of families; a kind that cannot be is refused with what can be done instead. */
export function exchangeSchema(kinds: readonly string[]) {
  return z.strictObject({
    kind: z
      .enum(kinds as [string, ...string[]], {
        error: ({ input }) => (typeof input === 'string' ? impossibleKinds[input] : undefined),
      })
      .meta({ description: 'how a ServiceAccount token becomes a registry login' }),
    endpoint: Endpoint.optional().meta({ description: "replaces the family's public endpoints" }),
    endpoints: z
      .record(z.string(), Endpoint)
      .optional()
      .meta({ description: 'replaces single ones of them, by the names that docs/registries.md gives' }),
    certificateAuthorityFile: z
      .string()
      .min(1)
      .optional()
      .meta({ description: 'PEM bundle that the endpoints are verified with' }),
    username: z
      .string()
      .regex(USERNAME, 'a username has no colon, no space and no control character')
      .optional()
      .meta({ description: 'what the registry is told as user, where the family leaves it open' }),
  });
}

const ANNOTATION =
  /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)(?:\*|[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?)$/;

export const Parameter = z
  .strictObject({
    from: z
      .enum(['annotation', 'rule'])
      .meta({ description: 'who sets it: the account by annotation, or this rule' }),
    value: z
      .string()
      .optional()
      .meta({ description: 'with from: rule, the value; with from: annotation, the default' }),
    accept: z
      .array(z.string().regex(ANNOTATION, 'write an annotation with its prefix, or prefix/* for all of one'))
      .optional()
      .meta({ description: "other tools' annotations that are read too, ours first" }),
  })
  .refine(({ from, value }) => from === 'annotation' || value !== undefined, 'from: rule needs a value')
  .refine(({ from, accept }) => from === 'annotation' || !accept, 'accept goes with from: annotation');
