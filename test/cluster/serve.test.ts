// keyless-pull serve against a real API server: when it calls itself ready, and what a changed config does.
import { readFileSync, writeFileSync } from 'node:fs';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { waitUntil } from '../../tools/processes.ts';
import { HOST, openArena, type Arena, type Program } from './arena.ts';

let arena: Arena;
let worker: Program;

beforeAll(async () => {
  arena = await openArena();
  await arena.start('webhook', 'webhook');
});

afterAll(() => arena[Symbol.asyncDispose]());

const BINDINGS = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings';

describe('readiness', () => {
  test('fails with fence-missing while a fence is missing, and comes when it stands', async () => {
    const fence = 'keyless-pull-worker-secrets';
    const { body } = await arena.controlPlane.admin<{ spec: unknown }>('GET', `${BINDINGS}/${fence}`);
    await arena.controlPlane.admin('DELETE', `${BINDINGS}/${fence}`);
    await waitUntil('the fence is down', async () => (await tryOpaqueSecret()) === 201, {
      deadlineMs: 60_000,
    });
    worker = await arena.start('worker', 'worker');

    await waitUntil('it has tried', async () => (await worker.readyz()).text.includes('fence-missing'), {
      deadlineMs: 60_000,
    });
    const before = await worker.readyz();
    await arena.controlPlane.admin('POST', BINDINGS, { metadata: { name: fence }, spec: body.spec });
    await waitUntil('it is ready', async () => (await worker.readyz()).status === 200, {
      deadlineMs: 40_000,
    });

    expect(before.status).toBe(503);
    expect(before.text).toContain('nothing refused what the secrets policies must forbid');
  });
});

/** As the worker's probe does, with the worker's own identity. */
async function tryOpaqueSecret(): Promise<number> {
  const { apiClient, serviceAccountToken } = await import('../../tools/api-client.ts');
  const token = await serviceAccountToken(arena.controlPlane, 'keyless-pull', 'keyless-pull');
  const probe = { metadata: { name: 'fence-probe.keyless-pull.dev' }, type: 'Opaque' };
  return (
    await apiClient(arena.controlPlane, token)('POST', '/api/v1/namespaces/default/secrets?dryRun=All', probe)
  ).status;
}

describe('a changed config', () => {
  test('renews what it changes in place: another life, the same Secret uid', async () => {
    await arena.addNamespace('renewed');
    await arena.addAccounts('renewed', 1);
    await arena.addPods('renewed', 1, 1);
    await arena.waitForRelease('renewed', 30);
    const ready = async () => (await record()).status?.secretUID !== undefined;
    await waitUntil('the record says so', ready, { deadlineMs: 60_000 });
    const before = await record();
    const lifeBefore = await lifeInSecret();

    const config = readFileSync(arena.configFile, 'utf8');
    writeFileSync(
      arena.configFile,
      config.replace('exchange:', 'token: { expirationSeconds: 600 }\n    exchange:'),
    );
    await waitUntil(
      'it is renewed',
      async () => (await record()).status?.tokenID !== before.status?.tokenID,
      { deadlineMs: 30_000 },
    );

    const after = await record();
    expect(after.status?.secretUID).toBe(before.status?.secretUID);
    expect(lifeBefore).toBe(3600);
    expect(await lifeInSecret()).toBe(600);
  });

  test('that is broken is refused by its faults, and the old one stays', async () => {
    writeFileSync(arena.configFile, 'apiVersion: keyless-pull.dev/v1\nkind: Config\nrules: []\n');

    await waitUntil('it has been seen', async () => worker.output().includes('config not reloaded'), {
      deadlineMs: 60_000,
    });

    expect(worker.output()).toContain('config.yaml:3: rules: ');
    expect((await worker.readyz()).status).toBe(200);
  });
});

interface StoredRecord {
  readonly status?: Readonly<Record<'secretUID' | 'tokenID', string | undefined>>;
}

const NAME = secretNameFor('account-0', 'team', '', HOST);

async function record(): Promise<StoredRecord> {
  const path = `/apis/keyless-pull.dev/v1alpha1/namespaces/renewed/pullcredentials/${NAME}`;
  return (await arena.controlPlane.admin<StoredRecord>('GET', path)).body;
}

/** Seconds, as the token itself has them: a record counts from when it was asked for, which may be a second earlier, or five. */
async function lifeInSecret(): Promise<number> {
  const path = `/api/v1/namespaces/renewed/secrets/${NAME}`;
  const { body } = await arena.controlPlane.admin<{ data: Record<string, string> }>('GET', path);
  const config = Buffer.from(body.data['.dockerconfigjson'] ?? '', 'base64').toString();
  const { auths } = JSON.parse(config) as { auths: Record<string, { password: string }> };
  const { iat = 0, exp = 0 } = decodeJwt(auths[HOST]?.password ?? '');
  return exp - iat;
}
