// What is around every protocol: where requests go and what they are verified with, clocks that differ, and an end from outside.
import { writeFileSync } from 'node:fs';
import { describe, expect, test, vi } from 'vitest';
import { createTestAuthority } from '../fakes/fake-issuer.ts';
import { createStrictServer } from '../fakes/strict-server.ts';
import { openProbe } from './probe.ts';
import { HOUR_MS, MINUTE_MS, openWorld, SUBJECT } from './set-up.ts';

describe('an endpoint', () => {
  test('may have a path of its own, with a slash at its end or without', async () => {
    await using probe = await openProbe();
    const { url } = probe.server;

    await probe.exchange();
    await probe.exchange({ exchange: { endpoint: `${url}/behind/a/gateway` } });
    await probe.exchange({ exchange: { endpoint: `${url}/behind/a/gateway/` } });

    expect(probe.server.requests.map(({ path }) => path)).toEqual([
      '/login',
      '/behind/a/gateway/login',
      '/behind/a/gateway/login',
    ]);
  });

  test('that is named alone goes before the one for all', async () => {
    await using probe = await openProbe();
    const { url } = probe.server;

    await probe.exchange({
      exchange: { endpoint: 'https://127.0.0.1:1', endpoints: { token: `${url}/own` } },
    });

    expect(probe.server.requests.map(({ path }) => path)).toEqual(['/own/login']);
  });

  test("is verified with the rule's CA, which is read anew when the file changes", async () => {
    await using probe = await openProbe();
    const other = await createTestAuthority('another CA');
    const file = probe.world.file('changing.pem', other.certificatePem);
    const wish = { exchange: { certificateAuthorityFile: file } };

    const before = await probe.problem(wish);
    writeFileSync(file, probe.server.certificateAuthorityPem);
    const after = await probe.exchange(wish);

    expect(before).toMatchObject({ code: 'exchange-unreachable' });
    expect(before.message).toMatch(/^127\.0\.0\.1:\d+ cannot be reached: [A-Z_]+$/);
    expect(after.username).toBe('puller');
    expect(probe.server.requests).toHaveLength(1);
  });

  test.for([
    ['no text', '', 'holds no certificate'],
    ['no certificate', 'once there was one', 'holds no certificate'],
    [
      'a broken certificate',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      'cannot be reached',
    ],
  ])('whose CA file has %s is never asked with the authorities of the system', async ([, pem, message]) => {
    await using probe = await openProbe();
    const file = probe.world.file('odd.pem', pem!);

    const problem = await probe.problem({ exchange: { certificateAuthorityFile: file } });

    expect(['file-unreadable', 'exchange-unreachable']).toContain(problem.code);
    expect(problem.message).toContain(message);
    expect(probe.server.requests).toEqual([]);
  });

  test('whose CA file is not there is not asked, and the file is named', async () => {
    await using probe = await openProbe();

    const problem = await probe.problem({ exchange: { certificateAuthorityFile: '/nowhere/ca.pem' } });

    expect(problem).toMatchObject({
      code: 'file-unreadable',
      message: 'cannot read /nowhere/ca.pem: there is no such file',
    });
  });
});

describe('a difference of clocks', () => {
  test.for([
    [90_000, 'our clock is 90 s behind that of the token service'],
    [-3600_000, 'our clock is 3600 s ahead of that of the token service'],
  ] as const)('of %d ms is named when an exchange fails', async ([skew, sentence]) => {
    await using probe = await openProbe();
    probe.server.dateSkewMs = skew;
    probe.answer = () => ({ status: 400, body: { error: 'invalid_grant' } });

    const problem = await probe.problem();

    expect(problem).toMatchObject({ code: 'exchange-refused', details: { upstream: '400 invalid_grant' } });
    expect(problem.message).toContain(sentence);
  });

  test('of less than a minute is nobody’s trouble, and none is where the exchange succeeds', async () => {
    await using probe = await openProbe();
    probe.server.dateSkewMs = 2 * HOUR_MS;
    await probe.exchange();
    probe.server.dateSkewMs = MINUTE_MS - 2000;
    probe.answer = () => ({ status: 400, body: {} });

    expect((await probe.problem()).message).not.toContain('our clock');
  });
});

describe('whoever asked', () => {
  test('may end an exchange that hangs, which is a problem like any other', async () => {
    await using probe = await openProbe();
    probe.server.mood = 'stalling';
    const ending = new AbortController();

    const ended = probe.problem({ signal: ending.signal });
    await vi.waitFor(() => expect(probe.server.requests).toHaveLength(1), 30_000);
    ending.abort();

    expect(await ended).toMatchObject({ code: 'exchange-unreachable' });
    expect((await ended).message).toContain('the time for the whole exchange was up');
    expect(probe.server.requests).toHaveLength(1);
  });

  test('may have ended it before it began: nothing is sent', async () => {
    await using probe = await openProbe();

    const problem = await probe.problem({ signal: AbortSignal.abort() });

    expect(problem.code).toBe('exchange-unreachable');
    expect(probe.server.requests).toEqual([]);
  });
});

test('the token that is sent is the one of this account, and goes nowhere but to the endpoint', async () => {
  await using world = await openWorld();
  await using stray = await createStrictServer({ clock: world.clock, answer: () => ({}) });
  await using probe = await openProbe();
  probe.server.mood = 'redirecting';
  probe.server.redirectTo = `${stray.url}/login`;

  const problem = await probe.problem({
    exchange: {
      certificateAuthorityFile: probe.world.file(
        'both.pem',
        `${probe.server.certificateAuthorityPem}\n${stray.certificateAuthorityPem}`,
      ),
    },
  });

  const [sent] = probe.server.requests;
  const token = new URLSearchParams(sent?.body).get('subject_token') ?? '';
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  expect(claims.sub).toBe(SUBJECT);
  expect(problem).toMatchObject({ code: 'exchange-refused', details: { upstream: '302' } });
  expect(probe.server.requests).toHaveLength(1);
  expect(stray.requests).toEqual([]);
});
