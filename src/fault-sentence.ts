// What a person is told of a value that a schema refused, where the schema itself says nothing.
import type * as z from 'zod';

type Issue = Parameters<z.core.$ZodErrorMap>[0];

/** A sentence without the path; undefined where zod's own has to do. A missing key is `undefined` of the wrong type. */
export function faultSentence(issue: Issue): string | undefined {
  if (issue.code === 'invalid_type') {
    return issue.input === undefined
      ? 'is required'
      : `must be ${wanted[issue.expected] ?? 'a map of keys and values'}, not ${kindOf(issue.input)}`;
  }
  if (issue.code === 'invalid_value') {
    const choice = issue.values.map(String).join(', ');
    return issue.input === undefined
      ? 'is required'
      : `must be ${issue.values.length > 1 ? 'one of ' : ''}${choice}`;
  }
  if (issue.code === 'too_small') {
    return boundText(issue.origin, issue.minimum, issue.inclusive === false ? 'more than' : 'at least');
  }
  if (issue.code === 'too_big') {
    return boundText(issue.origin, issue.maximum, issue.inclusive === false ? 'less than' : 'at most');
  }
  return issue.code === 'invalid_key' ? issue.issues[0]?.message : undefined;
}

const wanted: Readonly<Record<string, string>> = {
  string: 'text (put it in quotes)',
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
};

/** Never the value: it may be a password in the wrong place. */
function kindOf(input: unknown): string {
  if (input === null) return 'empty';
  if (Array.isArray(input)) return 'a list';
  if (typeof input === 'object') return 'a map';
  if (typeof input === 'string') return 'text';
  if (typeof input === 'number') return Number.isInteger(input) ? 'a number' : 'a fraction';
  return typeof input === 'boolean' ? `${input}` : typeof input;
}

function boundText(origin: string, bound: number | bigint, relation: string): string {
  if (origin === 'string')
    return bound === 1 ? 'must not be empty' : `must have ${relation} ${bound} characters`;
  if (origin === 'array') return `needs ${relation} ${bound === 1 ? 'one entry' : `${bound} entries`}`;
  return `must be ${relation} ${bound}`;
}
