// PullCredential: what is written is what is read, when a pod may start, and what a failure leaves standing.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  isReadyFor,
  isRecordOf,
  recordManifest,
  statusAfterProblem,
  statusManifest,
  viewRecord,
} from '../../src/core/pull-credential-record.ts';
import { Problem, problemCodes, type ProblemCode } from '../../src/problem.ts';
import { aNeed, identity } from './builders.ts';
import type { PullCredentialRecord, RecordStatus } from '../../src/core/pull-credential-record.ts';
import type { Need } from '../../src/core/pull-credential.ts';

const NOW = Date.parse('2026-11-21T12:00:00Z');
const HOUR_MS = 3_600_000;

function aStatus(change: Partial<RecordStatus> = {}): RecordStatus {
  return {
    isReady: true,
    reason: 'issued',
    message: 'the credential is good',
    changedAt: NOW - HOUR_MS,
    issuedAt: NOW - HOUR_MS / 2,
    expiresAt: NOW + HOUR_MS / 2,
    refreshAt: NOW,
    digest: aNeed().digest,
    tokenId: 'token-id',
    tokenKeyId: 'key-id',
    secretUid: 'secret-uid',
    ...change,
  };
}

/** As the API server would return what we wrote. */
function stored(
  need: Need,
  status?: RecordStatus,
  metadata: Record<string, unknown> = {},
): PullCredentialRecord {
  const manifest = recordManifest(need);
  const written = {
    ...(manifest['metadata'] as object),
    uid: 'record-uid',
    resourceVersion: '7',
    ...metadata,
  };
  return viewRecord(
    JSON.parse(
      JSON.stringify({ ...manifest, metadata: written, ...(status && { status: statusManifest(status) }) }),
    ),
  );
}

describe('a record', () => {
  test('of an earlier version does not say which key signed the token', () => {
    const { tokenKeyId: _later, ...earlier } = aStatus();

    expect(stored(aNeed(), earlier).status).toEqual(earlier);
  });

  test('that nobody uses says since when', () => {
    const since = NOW - HOUR_MS;

    expect(stored(aNeed(), aStatus({ unusedSince: since })).status).toEqual(aStatus({ unusedSince: since }));
    expect(stored(aNeed(), aStatus({ unusedSince: 0 })).status).toEqual(aStatus());
  });

  test('that is written is read back whole', () => {
    const need = aNeed({ principal: 'robot' });

    const record = stored(need, aStatus());

    expect(record).toEqual({
      namespace: 'shop',
      name: need.secretName,
      uid: 'record-uid',
      resourceVersion: '7',
      isDeleting: false,
      account: 'checkout',
      accountUid: identity.uid,
      rule: 'team',
      principal: 'robot',
      host: 'registry.team.example',
      secretName: need.secretName,
      status: aStatus(),
    });
  });

  test('of any need and any status is read back, instants to the second', () => {
    const text = fc.string({ maxLength: 20 });
    const instant = fc.integer({ min: 1, max: 4_000_000_000 }).map((seconds) => seconds * 1000);
    const statuses = fc.record<RecordStatus>({
      isReady: fc.boolean(),
      reason: fc.constantFrom<RecordStatus['reason']>(
        'issued',
        ...(Object.keys(problemCodes) as ProblemCode[]),
      ),
      message: text,
      changedAt: instant,
      issuedAt: fc.oneof(fc.constant(0), instant),
      expiresAt: fc.oneof(fc.constant(0), instant),
      refreshAt: fc.oneof(fc.constant(0), instant),
      digest: text,
      tokenId: text,
      secretUid: text,
    });
    const needs = fc.record({ rule: text, principal: text, host: text, secretName: text, digest: text });
    fc.assert(
      fc.property(needs, statuses, (parts, status) => {
        const need = aNeed(parts);

        const record = stored(need, status);

        expect(record.status).toEqual(status);
        expect(isRecordOf(record, need)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test('goes with its account and does not hold up its deletion', () => {
    const { metadata } = recordManifest(aNeed()) as { metadata: Record<string, unknown> };

    expect(metadata).toEqual({
      name: aNeed().secretName,
      namespace: 'shop',
      labels: { 'keyless-pull.dev/managed': 'true' },
      ownerReferences: [
        {
          apiVersion: 'v1',
          kind: 'ServiceAccount',
          name: 'checkout',
          uid: identity.uid,
          controller: false,
          blockOwnerDeletion: false,
        },
      ],
    });
  });

  test('says nothing of a principal where there is none', () => {
    expect(recordManifest(aNeed())['spec']).not.toHaveProperty('principal');
  });

  test('carries instants in whole seconds, as Kubernetes does, and never a later end than the real one', () => {
    const manifest = statusManifest(aStatus({ expiresAt: NOW + 999 }));

    expect(manifest['expiresAt']).toBe('2026-11-21T12:00:00Z');
  });

  test('carries a message of at most 1,024 characters', () => {
    const manifest = statusManifest(aStatus({ message: 'x'.repeat(5000) })) as {
      conditions: { message: string }[];
    };

    expect(manifest.conditions[0]?.message.length).toBe(1024);
  });

  test.for([
    ['nothing', undefined],
    ['text', 'record'],
    ['an empty object', {}],
    [
      'wrong types everywhere',
      { metadata: 5, spec: { serviceAccount: [], rule: {}, registry: 7 }, status: { conditions: 'no' } },
    ],
    ['an object that has its own toString', { metadata: { name: { toString: 1 } } }],
    ['another condition', { status: { conditions: [{ type: 'Other', status: 'True' }] } }],
  ] as const)('that is %s is read as one that belongs to nobody', ([, raw]) => {
    const record = viewRecord(raw);

    expect(record.status).toBeUndefined();
    expect(record.name).toBe('');
    expect(isRecordOf(record, aNeed())).toBe(false);
  });

  test('whose condition lacks an instant has 0 there', () => {
    const status = viewRecord({
      status: { conditions: [{ type: 'Ready', status: 'True' }], expiresAt: 'soon' },
    }).status;

    expect(status).toMatchObject({ isReady: true, changedAt: 0, expiresAt: 0, digest: '' });
  });
});

describe('a pod may start pulling', () => {
  const need = aNeed();

  test('with a record that is ready, of its account, under its digest, and good for more than a minute', () => {
    expect(isReadyFor(stored(need, aStatus()), need, NOW)).toBe(true);
    expect(isReadyFor(stored(need, aStatus({ expiresAt: NOW + 61_000 })), need, NOW)).toBe(true);
    expect(isReadyFor(stored(need, aStatus({ reason: 'exchange-unreachable' })), need, NOW)).toBe(true);
  });

  test.for<[what: string, record: PullCredentialRecord | undefined]>([
    ['there is no record', undefined],
    ['nothing was tried yet', stored(need)],
    ['it is not ready', stored(need, aStatus({ isReady: false }))],
    ['its last minute has begun', stored(need, aStatus({ expiresAt: NOW + 60_000 }))],
    ['it has expired', stored(need, aStatus({ expiresAt: NOW - 1000 }))],
    ['it was made under another rule text', stored(need, aStatus({ digest: 'other' }))],
    [
      'it is of an earlier account of that name',
      stored(aNeed({ identity: { ...identity, uid: 'earlier' } }), aStatus()),
    ],
    ['it is of another account', stored(aNeed({ identity: { ...identity, account: 'other' } }), aStatus())],
    ['it is of another rule', stored(aNeed({ rule: 'other' }), aStatus())],
    ['it is of another principal', stored(aNeed({ principal: 'other' }), aStatus())],
    ['it is of another host', stored(aNeed({ host: 'other.example' }), aStatus())],
    ['it is being deleted', stored(need, aStatus(), { deletionTimestamp: '2026-11-21T11:59:00Z' })],
  ])('not when %s', ([, record]) => {
    expect(isReadyFor(record, need, NOW)).toBe(false);
  });
});

describe('after a failed renewal', () => {
  const problem = new Problem('exchange-unreachable', 'the registry cannot be reached');

  test('a credential that is still good stays ready, and the reason says what stands in the way', () => {
    const before = aStatus();

    const after = statusAfterProblem(before, problem, NOW);

    expect(after).toEqual({
      ...before,
      reason: 'exchange-unreachable',
      message: 'the registry cannot be reached',
    });
  });

  test('a credential in its last minute is no longer ready, and that is a change', () => {
    const after = statusAfterProblem(aStatus({ expiresAt: NOW + 60_000 }), problem, NOW);

    expect(after).toMatchObject({ isReady: false, changedAt: NOW, secretUid: 'secret-uid' });
  });

  test('what was not ready stays so since when it was', () => {
    const before = aStatus({ isReady: false, changedAt: NOW - 5000 });

    expect(statusAfterProblem(before, problem, NOW)).toMatchObject({ isReady: false, changedAt: NOW - 5000 });
  });

  test('a first attempt that fails leaves a record that is not ready since now', () => {
    expect(statusAfterProblem(undefined, problem, NOW)).toEqual({
      isReady: false,
      reason: 'exchange-unreachable',
      message: 'the registry cannot be reached',
      changedAt: NOW,
      issuedAt: 0,
      expiresAt: 0,
      refreshAt: 0,
      digest: '',
      tokenId: '',
      secretUid: '',
    });
  });

  test('the instant of change moves exactly when readiness does', () => {
    const statuses = fc.record({
      isReady: fc.boolean(),
      changedAt: fc.integer({ min: 0, max: NOW - 1 }),
      expiresAt: fc.integer({ min: NOW - HOUR_MS, max: NOW + HOUR_MS }),
    });
    fc.assert(
      fc.property(statuses, (change) => {
        const before = aStatus(change);

        const after = statusAfterProblem(before, problem, NOW);

        expect(after.changedAt).toBe(after.isReady === before.isReady ? before.changedAt : NOW);
        expect(before.isReady || !after.isReady).toBe(true);
      }),
    );
  });
});
