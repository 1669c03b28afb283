// The control plane comes back with another signing key, and the old one is gone: on a real API server, with the real program.
import { copyFileSync } from 'node:fs';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify, type JSONWebKeySet } from 'jose';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { waitUntil } from '../../tools/processes.ts';
import { AUDIENCE, HOST, openArena, type Arena } from '../cluster/arena.ts';

const TEAM = 'team';
const ACCOUNTS = 20;
const RECORDS = `/apis/keyless-pull.dev/v1alpha1/namespaces/${TEAM}/pullcredentials`;

const SECRETS = new RegExp(`^/api/v1/namespaces/${TEAM}/secrets/`);
/** Leading again, or the next look at the keys, whichever comes first, on a machine that is busy. */
const LOOKED = { deadlineMs: 300_000, everyMs: 1_000 };

interface Found {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly status?: { readonly tokenKeyID?: string; readonly issuedAt?: string };
}

const names = Array.from({ length: ACCOUNTS }, (_, at) => secretNameFor(`account-${at}`, 'team', '', HOST));

async function find(arena: Arena, path: string): Promise<Found> {
  const { status, body } = await arena.controlPlane.admin<Found>('GET', path);
  if (status !== 200) throw new Error(`GET ${path}: ${status}`);
  return body;
}

const secretOf = (arena: Arena, name: string) => find(arena, `/api/v1/namespaces/${TEAM}/secrets/${name}`);

function passwordIn({ data }: Found): string {
  const text = Buffer.from(data?.['.dockerconfigjson'] ?? '', 'base64').toString();
  const { auths } = JSON.parse(text) as { auths: Record<string, { password: string }> };
  return auths[HOST]?.password ?? '';
}

/** The ids of the keys behind all records. */
async function keysOfRecords(arena: Arena): Promise<Set<string | undefined>> {
  const records = await Promise.all(names.map((name) => find(arena, `${RECORDS}/${name}`)));
  return new Set(records.map(({ status }) => status?.tokenKeyID));
}

/** Whether a registry that looks at the API server's keys now accepts the password. */
async function isAccepted({ controlPlane }: Arena, password: string): Promise<boolean> {
  const { body } = await controlPlane.admin<Record<string, unknown>>('GET', '/openid/v1/jwks');
  const keys = createLocalJWKSet(body as unknown as JSONWebKeySet);
  const { issuer } = controlPlane;
  return jwtVerify(password, keys, { issuer, audience: AUDIENCE }).then(
    () => true,
    () => false,
  );
}

/** As the kubelet does it with a pod's token file. */
async function giveNewToken(
  arena: Arena,
  programs: readonly { readonly kubeconfig: string }[],
): Promise<void> {
  for (const { kubeconfig } of programs) copyFileSync(await arena.kubeconfig(), kubeconfig);
}

test('credentials that died with the signing key are minted anew, in the same Secrets, with one PUT each', async () => {
  await using arena = await openArena();
  const { controlPlane } = arena;
  const webhook = await arena.start('webhook', 'webhook');
  const worker = await arena.start('worker', 'worker');
  const programs = [webhook, worker];
  await waitUntil('the worker leads', async () => worker.isLeading(), { deadlineMs: 60_000 });
  await arena.addNamespace(TEAM);
  await arena.addAccounts(TEAM, ACCOUNTS);
  await arena.addPods(TEAM, ACCOUNTS, ACCOUNTS);
  await arena.waitForRelease(TEAM, 120);
  await waitUntil(
    'all records say which key signed their token',
    async () => {
      const keys = await keysOfRecords(arena).catch(() => new Set([undefined]));
      return keys.size === 1 && !keys.has(undefined);
    },
    { deadlineMs: 60_000, everyMs: 500 },
  );
  const areAccepted = async (secrets: readonly Found[]) =>
    new Set(await Promise.all(secrets.map((secret) => isAccepted(arena, passwordIn(secret)))));
  const before = await Promise.all(names.map((name) => secretOf(arena, name)));
  const [oldKey] = await keysOfRecords(arena);
  const done = (verb: string, path: RegExp, since: number) =>
    arena.calls().filter((call) => {
      return call.verb === verb && path.test(call.path) && call.status < 300 && call.receivedAt > since;
    }).length;
  const rotatedAt = systemClock.now();

  // The new key beside the old one: nobody has to do anything.
  await controlPlane.rotateSigningKey({ keepOld: true });
  expect(await areAccepted(before)).toEqual(new Set([true]));
  const backAt = systemClock.now();
  await waitUntil('the worker has looked', async () => done('get', /jwks$/, backAt) > 0, LOOKED);
  expect(await keysOfRecords(arena)).toEqual(new Set([oldKey]));

  await controlPlane.rotateSigningKey({ keepOld: false });
  await giveNewToken(arena, programs);
  expect(await Promise.all(before.map((secret) => isAccepted(arena, passwordIn(secret))))).not.toContain(
    true,
  );
  await waitUntil(
    'no record names the old key',
    async () => !(await keysOfRecords(arena)).has(oldKey),
    LOOKED,
  );

  const after = await Promise.all(names.map((name) => secretOf(arena, name)));
  const [newKey, ...others] = await keysOfRecords(arena);
  expect(others).toEqual([]);
  expect(after.map(({ metadata }) => metadata.uid)).toEqual(before.map(({ metadata }) => metadata.uid));
  expect(new Set(after.map((secret) => decodeProtectedHeader(passwordIn(secret)).kid))).toEqual(
    new Set([newKey]),
  );
  expect(await areAccepted(after)).toEqual(new Set([true]));
  expect(done('update', SECRETS, rotatedAt)).toBe(ACCOUNTS);
  expect(worker.output()).toContain('signing key gone');
});
