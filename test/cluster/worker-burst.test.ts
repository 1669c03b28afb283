// Two workers of the real program against a real API server, while 200 cold pods come at once.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openArena, type Arena, type Program } from './arena.ts';
import { quietestOf } from '../quietest.ts';
import { runBurst, startTwoWorkers } from './burst.ts';

let arena: Arena;
let workers: Program[];
let webhook: Program;

beforeAll(async () => {
  arena = await openArena();
  ({ webhook, workers } = await startTwoWorkers(arena));
});

afterAll(() => arena[Symbol.asyncDispose]());

describe('a burst of 200 pods of 20 new accounts', () => {
  test('releases every pod, each behind its own credential, with one exchange per need and no 429', async () => {
    const result = await runBurst(arena, workers, { namespace: 'burst', pods: 200, accounts: 20 });

    expect(result.exchanges).toBeGreaterThanOrEqual(20);
    expect(result.exchanges).toBeLessThanOrEqual(20 + 16 * result.leasesLost);
    console.log(
      `200 pods of 20 accounts: all released ${result.seconds.toFixed(1)} s after the first was created`,
    );
  });

  test('survives kill -9 of the working one: at most 16 exchanges more, nothing gated 10 s later', async () => {
    let dead: Program | undefined;
    const seconds = await quietestOf(3, 10, async (round) => {
      if (round > 1)
        workers = [
          ...workers.filter((worker) => worker !== dead),
          await arena.start(`new-${round}`, 'worker'),
        ];
      const { exchanges, leasesLost, secondsAfterKill, killed } = await runBurst(arena, workers, {
        namespace: `killed-${round}`,
        pods: 200,
        accounts: 20,
        killAfter: 10,
      });

      dead = killed;
      expect(exchanges).toBeLessThanOrEqual(20 + 16 * (1 + leasesLost));
      console.log(
        `killed after 10 of 20: ${exchanges} exchanges, all released ${secondsAfterKill.toFixed(1)} s after the kill`,
      );
      return secondsAfterKill;
    });

    expect(seconds).toBeLessThanOrEqual(10);
  });
});

describe('what people can read', () => {
  test('no token stands in any log, event or status, plain or in base64', async () => {
    const { admin, auditLog } = arena.controlPlane;
    const secrets = await admin<{ items: { data: Record<string, string> }[] }>(
      'GET',
      '/api/v1/namespaces/burst/secrets',
    );
    const configs = secrets.body.items.map(({ data }) =>
      Buffer.from(data['.dockerconfigjson'] ?? '', 'base64').toString(),
    );
    const passwords = configs.map(
      (config) => Object.values<{ password: string }>(JSON.parse(config).auths)[0]?.password ?? '',
    );
    const records = await admin('GET', '/apis/keyless-pull.dev/v1alpha1/pullcredentials');
    const events = await admin('GET', '/apis/events.k8s.io/v1/events');
    const pods = await admin('GET', '/api/v1/namespaces/burst/pods');
    const read = [
      ...[webhook, ...workers].map((program) => program.output()),
      readFileSync(auditLog ?? '', 'utf8'),
    ];
    const told = [records, events, pods].map(({ body }) => JSON.stringify(body));

    const everything = [...read, ...told].join('\n');

    expect(passwords).toHaveLength(20);
    expect(everything).toContain('credential issued');
    for (const password of passwords) {
      const [header, payload, signature] = password.split('.');
      for (const part of [password, payload, signature]) {
        expect(part?.length).toBeGreaterThan(50);
        expect(everything.includes(part ?? '')).toBe(false);
        expect(
          everything.includes(
            Buffer.from(part ?? '')
              .toString('base64')
              .slice(0, 60),
          ),
        ).toBe(false);
      }
      expect(header).toBeTruthy();
    }
  });
});
