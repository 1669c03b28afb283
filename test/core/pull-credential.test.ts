// Needs and credentials: what tells two needs apart, what changes a digest, how long a credential is used.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf, isUsable, keyOf, refreshAt } from '../../src/core/pull-credential.ts';
import { aNeed, aRule, identity } from './builders.ts';
import type { Need } from '../../src/core/pull-credential.ts';
import { Rule } from '../fakes/builders.ts';

const MINUTE_MS = 60_000;
const START = Date.parse('2026-11-21T12:00:00Z');

describe('the digest of a rule', () => {
  const ecr = {
    name: 'ecr',
    hosts: ['*.dkr.ecr.*.amazonaws.com'],
    audience: 'keyless-pull.example',
    exchange: { kind: 'ecr', endpoint: 'https://sts.example', certificateAuthorityFile: '/ca.pem' },
  };

  test('is 32 hexadecimal digits', () => {
    expect(digestOf(aRule())).toMatch(/^[0-9a-f]{32}$/);
  });

  test('does not depend on the order of keys, in the rule or in the parameters', () => {
    const { kind, ...rest } = ecr.exchange;
    const turned = Rule.parse({
      exchange: { ...rest, kind },
      audience: ecr.audience,
      hosts: ecr.hosts,
      name: ecr.name,
    });

    expect(digestOf(turned)).toBe(digestOf(Rule.parse(ecr)));
    expect(digestOf(aRule(), { a: '1', b: '2' })).toBe(digestOf(aRule(), { b: '2', a: '1' }));
  });

  test.for([
    ['the audience', { audience: 'other' }],
    ['the kind of exchange', { exchange: { ...ecr.exchange, kind: 'ecr-public' } }],
    ['the endpoint', { exchange: { ...ecr.exchange, endpoint: 'https://sts2.example' } }],
    ['the endpoint, when it goes', { exchange: { kind: 'ecr', certificateAuthorityFile: '/ca.pem' } }],
    ['the CA file', { exchange: { ...ecr.exchange, certificateAuthorityFile: '/ca2.pem' } }],
    ['the username', { exchange: { ...ecr.exchange, username: 'robot' } }],
    ['the life of the token', { token: { expirationSeconds: 900 } }],
  ] as const)('changes with %s', ([, change]) => {
    expect(digestOf(Rule.parse({ ...ecr, ...change }))).not.toBe(digestOf(Rule.parse(ecr)));
  });

  test.for([
    ['the name', { name: 'other' }],
    ['the hosts', { hosts: ['other.example'] }],
    ['the delivery', { delivery: ['secret', 'kubelet'] }],
    ['what pending pods do', { whenPending: 'admit' }],
    ['what refused pods do', { whenRefused: 'deny' }],
    ['the token volume', { token: { inject: 'volume' } }],
    ['the subjects', { subjects: [{}] }],
    ['prewarming', { prewarm: true }],
    ['what pods may mount', { inPod: ['token'] }],
  ] as const)('stays when only %s changes: the credential would be the same', ([, change]) => {
    expect(digestOf(Rule.parse({ ...ecr, ...change }))).toBe(digestOf(Rule.parse(ecr)));
  });

  test('changes with each parameter, and with nothing of one rule for another', () => {
    const rule = aRule();
    const digests = [
      digestOf(rule),
      digestOf(rule, { a: '1' }),
      digestOf(rule, { a: '2' }),
      digestOf(rule, { b: '1' }),
      digestOf(rule, { a: '1', b: '1' }),
    ];

    expect(new Set(digests).size).toBe(digests.length);
    expect(digestOf(rule)).toBe(digests[0]);
  });

  test('is the same after an upgrade: another one would have every credential made anew', () => {
    expect(digestOf(aRule())).toBe('997527907161b390c7ee0f1590695cfe');
  });
});

describe('the key of a need', () => {
  test('differs in every part', () => {
    const changes: Partial<Need>[] = [
      {},
      { identity: { ...identity, namespace: 'other' } },
      { identity: { ...identity, account: 'other' } },
      { identity: { ...identity, uid: 'a recreated account has another' } },
      { rule: 'other' },
      { digest: 'other' },
      { principal: 'other' },
      { host: 'other' },
    ];

    const keys = changes.map((change) => keyOf(aNeed(change)));

    expect(new Set(keys).size).toBe(changes.length);
  });

  test('is the same for two needs only when every part is', () => {
    const part = fc.constantFrom('', 'a', 'b', 'a,b', '"', '","', '[', '\\', 'a\\"');
    const parts = fc.tuple(part, part, part, part, part, part, part);
    fc.assert(
      fc.property(parts, parts, (one, other) => {
        expect(keyOf(needOf(one)) === keyOf(needOf(other))).toBe(one.every((text, at) => text === other[at]));
      }),
      { numRuns: 5000 },
    );
  });
});

function needOf([
  namespace = '',
  account = '',
  uid = '',
  rule = '',
  digest = '',
  principal = '',
  host = '',
]: readonly string[]): Need {
  return aNeed({ identity: { namespace, account, uid }, rule, digest, principal, host });
}

describe('the time to renew', () => {
  const issued = fc.integer({ min: START, max: START + 10 * 365 * 86_400_000 });
  const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  test('lies between 0.6 and 0.7 of the life', () => {
    fc.assert(
      fc.property(
        issued,
        fc.integer({ min: 15 * MINUTE_MS, max: 400 * 86_400_000 }),
        chance,
        (issuedAt, life, by) => {
          const share = (refreshAt(issuedAt, issuedAt + life, by) - issuedAt) / life;

          expect(share).toBeGreaterThan(0.6 - 1 / life);
          expect(share).toBeLessThanOrEqual(0.7);
        },
      ),
      { numRuns: 5000 },
    );
  });

  test('lies between 0.45 and 0.5 of a life under 15 minutes', () => {
    fc.assert(
      fc.property(issued, fc.integer({ min: 1, max: 15 * MINUTE_MS - 1 }), chance, (issuedAt, life, by) => {
        const share = (refreshAt(issuedAt, issuedAt + life, by) - issuedAt) / life;

        expect(share).toBeGreaterThan(0.45 - 1 / life);
        expect(share).toBeLessThanOrEqual(0.5);
      }),
      { numRuns: 5000 },
    );
  });

  test('is before the end, and not before the beginning', () => {
    fc.assert(
      fc.property(issued, fc.integer({ min: 1, max: 400 * 86_400_000 }), chance, (issuedAt, life, by) => {
        const at = refreshAt(issuedAt, issuedAt + life, by);

        expect(at).toBeGreaterThanOrEqual(issuedAt);
        expect(at).toBeLessThan(issuedAt + life);
      }),
      { numRuns: 5000 },
    );
  });

  test('leaves the last 0.3 of the life, and never less than the last minute of an hour, for retries', () => {
    const expiresAt = START + 60 * MINUTE_MS;

    expect(expiresAt - refreshAt(START, expiresAt, 0.999_999)).toBeGreaterThanOrEqual(18 * MINUTE_MS);
  });

  test('spreads a thousand credentials of one moment', () => {
    const instants = Array.from({ length: 1000 }, (_, at) =>
      refreshAt(START, START + 60 * MINUTE_MS, at / 1000),
    );

    expect(Math.max(...instants) - Math.min(...instants)).toBeGreaterThan(5 * MINUTE_MS);
  });

  test('of a credential that has no life is at once', () => {
    expect(refreshAt(START, START, 0.5)).toBe(START);
    expect(refreshAt(START, START - 1, 0.5)).toBe(START);
  });
});

test('a credential is usable until its last minute', () => {
  expect(isUsable(START + MINUTE_MS + 1, START)).toBe(true);
  expect(isUsable(START + MINUTE_MS, START)).toBe(false);
  expect(isUsable(START, START)).toBe(false);
  expect(isUsable(0, START)).toBe(false);
});
