// The one error class and its table of codes, which conditions, events and metrics carry.
import { expect, test } from 'vitest';
import { Problem, isProblem, problemCodes } from '../src/problem.ts';

test.for(Object.entries(problemCodes))(
  '%s is a code that can stand in a condition, with a sentence for the table',
  ([code, entry]) => {
    expect(code).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(entry.means).toMatch(/^[a-z].*[^.]$/);
    expect(['no', 'soon', 'waiting', 'later', 'rarely']).toContain(entry.retry);
    expect(entry.status === 0 || (entry.status >= 400 && entry.status < 600)).toBe(true);
  },
);

test('a problem has a code, one sentence and a cause that stays inside', () => {
  const cause = new Error('a foreign body');

  const problem = new Problem('exchange-refused', 'the registry said no', {
    cause,
    details: { retryAfterMs: 5 },
  });

  expect(problem).toMatchObject({
    name: 'Problem',
    code: 'exchange-refused',
    message: 'the registry said no',
    cause,
    details: { retryAfterMs: 5 },
  });
  expect(String(problem)).toBe('Problem: the registry said no');
});

test('a problem without a cause has none, not an empty one', () => {
  expect(Object.hasOwn(new Problem('usage', 'x'), 'cause')).toBe(false);
});

test('a problem is known by its class, and by its code where one is asked for', () => {
  const problem = new Problem('deadline', 'too late');

  expect(isProblem(problem)).toBe(true);
  expect(isProblem(problem, 'usage', 'deadline')).toBe(true);
  expect(isProblem(problem, 'usage')).toBe(false);
  expect(isProblem(new Error('too late'))).toBe(false);
  expect(isProblem({ code: 'deadline', message: 'too late' })).toBe(false);
  expect(isProblem(undefined)).toBe(false);
});
