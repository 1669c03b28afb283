// What the API server would drop without a word never leaves us.
import { expect, test } from 'vitest';
import { readReview, writeReview } from '../../src/admission/review.ts';
import { allow, deny, verdictForFailure } from '../../src/admission/verdict.ts';
import { Problem, problemCodes, type ProblemCode } from '../../src/problem.ts';
import { acceptReview } from '../fakes/admission-acceptance.ts';
import { reviewOf, REVIEW_UID } from '../fakes/admission-routes.ts';

const request = readReview(Buffer.from(JSON.stringify(reviewOf({}))));
const answerTo = (verdict: Parameters<typeof writeReview>[1]) =>
  acceptReview(writeReview(request, verdict), REVIEW_UID, 'validating');

test('a warning is one line that a terminal can be shown', () => {
  const { warnings } = answerTo(
    allow('no-needs', { warnings: ['two\nlines\tand \u0007bells', '\u202eback \ud800wards\u2028'] }),
  );

  expect(warnings).toEqual(['two lines and  bells', ' back \ufffdwards ']);
});

test('a warning is cut where the API server would cut it', () => {
  const { warnings } = answerTo(
    allow('no-needs', { warnings: ['x'.repeat(300), `${'x'.repeat(254)}\u{1f600}y`] }),
  );

  expect(warnings.map((text) => text.length)).toEqual([256, 255]);
  expect(warnings.every((text) => text.endsWith('…') && text.isWellFormed())).toBe(true);
});

test('of many warnings so many are sent that none is cut short, and the last says how many more there are', () => {
  const { warnings } = answerTo(
    allow('no-needs', { warnings: Array.from({ length: 100 }, (_, at) => `warning ${at}`) }),
  );

  expect(warnings).toHaveLength(15);
  expect(warnings.at(-1)).toBe('keyless-pull has 86 more warnings for this pod');
});

test('the same warning is given once', () => {
  expect(answerTo(allow('no-needs', { warnings: ['same', 'same'] })).warnings).toEqual(['same']);
});

test('a denial has a status that fails and a message of bounded length', () => {
  const { status } = answerTo(deny('finding', 'no\n'.repeat(10_000)));

  expect(status).toMatchObject({ code: 403, reason: 'Forbidden' });
  expect(status?.message).toHaveLength(4096);
});

test('a failure is asked for again if it passes, denied where it matters, and let pass where a path only warns', () => {
  for (const code of Object.keys(problemCodes) as ProblemCode[]) {
    const problem = new Problem(code, 'no');
    const isPassing = problemCodes[code].retry === 'soon';
    for (const path of ['mutate', 'validate/enforce'] as const) {
      const verdict = verdictForFailure(path, problem);
      expect([code, verdict.kind]).toEqual([code, isPassing ? 'none' : 'deny']);
      if (verdict.kind === 'deny') expect(answerTo(verdict).status?.message).toBe('no');
    }
    for (const path of ['validate/warn', 'validate/audit'] as const) {
      expect(verdictForFailure(path, problem)).toMatchObject({
        kind: 'allow',
        audit: { 'not-checked': code },
      });
    }
  }
});

test('a bug tells nothing of itself', () => {
  const verdict = verdictForFailure('mutate', new TypeError('cannot read x of secret'));

  expect(verdict).toMatchObject({
    kind: 'deny',
    status: 500,
    message: expect.not.stringContaining('secret'),
  });
});
