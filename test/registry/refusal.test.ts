// How a registry's no is sorted: by its own code first, by the status where there is none.
import { describe, expect, test } from 'vitest';
import { problemCodes } from '../../src/problem.ts';
import {
  classify,
  cureFor,
  member,
  oauthRefusal,
  reactions,
  type Refusal,
} from '../../src/registry/refusal.ts';

const refusal: Refusal = {
  codeOf: (body) => member(body, 'code'),
  classes: { Throttling: 'throttled', AccessDenied: 'propagation' },
  classOf: (code, body) => (code === 'Odd' && member(body, 'text') === 'later' ? 'transient' : undefined),
  cures: { AccessDenied: 'let us in' },
};

describe('the class of a refusal', () => {
  test.for([
    [400, 'Throttling', {}, 'throttled'],
    [403, 'AccessDenied', {}, 'propagation'],
    [500, 'AccessDenied', {}, 'propagation'],
    [400, 'Odd', { text: 'later' }, 'transient'],
    [400, 'Odd', { text: 'never' }, 'permanent'],
    [400, '', undefined, 'permanent'],
    [429, 'Unknown', {}, 'throttled'],
    [503, 'Unknown', {}, 'transient'],
    [403, 'Unknown', {}, 'permanent'],
    [403, 'constructor', {}, 'permanent'],
    [403, '__proto__', {}, 'permanent'],
    [403, 'toString', {}, 'permanent'],
  ] as const)('of %d %s with %j is %s', ([status, code, body, wanted]) => {
    expect(classify(refusal, status, code, body)).toBe(wanted);
  });

  test.for([
    ['temporarily_unavailable', 'transient'],
    ['server_error', 'transient'],
    ['slow_down', 'throttled'],
    ['invalid_grant', 'permanent'],
    ['invalid_client', 'permanent'],
  ] as const)('%s of OAuth is %s', ([error, wanted]) => {
    expect(
      classify(
        oauthRefusal,
        400,
        oauthRefusal.codeOf({ error }, () => undefined),
        { error },
      ),
    ).toBe(wanted);
  });

  test.for([
    ['invalid_grant', 'The subject token has expired.', 'stale'],
    ['invalid_grant', 'Token is not active', 'stale'],
    ['invalid_grant', 'assertion is not yet valid', 'stale'],
    ['invalid_request', 'subject_token: issued in the future', 'stale'],
    ['invalid_grant', 'Session not active', 'permanent'],
    ['invalid_grant', 'no such issuer', 'permanent'],
    ['invalid_client', 'the client has expired', 'permanent'],
    ['unauthorized_client', 'expired', 'permanent'],
  ] as const)('%s of OAuth with "%s" is %s', ([error, description, wanted]) => {
    const body = { error, error_description: description };

    expect(classify(oauthRefusal, 400, error, body)).toBe(wanted);
  });

  test('each has a problem of its own, and only what may pass is tried again', () => {
    expect(Object.values(reactions).map(({ code, tries }) => [code, tries])).toEqual([
      ['exchange-unreachable', 3],
      ['exchange-throttled', 3],
      ['exchange-waiting', 1],
      ['exchange-stale', 1],
      ['exchange-refused', 1],
    ]);
    for (const { code } of Object.values(reactions)) expect(problemCodes).toHaveProperty(code);
  });
});

test('a cure belongs to one code, and the names of methods are no codes', () => {
  expect(cureFor(refusal, 'AccessDenied')).toBe('let us in');
  expect(cureFor(refusal, 'valueOf')).toBeUndefined();
  expect(cureFor({ codeOf: () => '' }, 'AccessDenied')).toBeUndefined();
});

test.for([
  [{ error: { status: 'X' } }, ['error', 'status'], 'X'],
  [{ errors: [{ code: 'Y' }] }, ['errors', 0, 'code'], 'Y'],
  [{ code: 16 }, ['code'], '16'],
  [{ code: { text: 'X' } }, ['code'], ''],
  [{ code: true }, ['code'], ''],
  [{}, ['constructor', 'name'], ''],
  ['text', ['length'], ''],
  [null, ['code'], ''],
  [undefined, [], ''],
] as const)('of %j, the member %j is "%s"', ([body, steps, wanted]) => {
  expect(member(body, ...steps)).toBe(wanted);
});
