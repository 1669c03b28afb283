// How schemas of answers read a secret: it is one from the moment it is parsed.
import * as z from 'zod';
import { SecretText } from '../secret-text.ts';

/** Printable ASCII: most go into a header next, which takes nothing else and says so by quoting what it was given. */
export const SecretAnswer = z
  .string()
  .regex(/^[\x20-\x7E]+$/)
  .transform((text) => new SecretText(text));

/** Epoch milliseconds of an RFC 3339 time, with whatever fraction of a second it has. */
export const InstantAnswer = z
  .string()
  .transform((text) => Date.parse(text))
  .refine((at) => !Number.isNaN(at));
