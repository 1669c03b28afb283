// Our own certificate on a real API server, renewed while pods come: a Secret that is emptied or deleted, a leader that dies.
import { once } from 'node:events';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { applyManifests, OWN_NAMESPACE, readManifests } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { stoodStill } from '../awake-clock.ts';
import { podOf, reviewOf } from '../fakes/admission-routes.ts';
import { createApiServerClient } from './api-server-client.ts';
import { addTeam, createPod, readTlsSecret, timed } from '../cluster/certificate-stage.ts';
import { HOST, openServiceArena, SERVICE_NAME, TLS_SECRET } from '../cluster/service-arena.ts';
import type { ServiceArena, ServiceProgram } from '../cluster/service-arena.ts';

let arena: ServiceArena;
let program: ServiceProgram;

beforeAll(async () => {
  arena = await openServiceArena();
  await addTeam(arena);
  program = await arena.start('first');
  await arena.route([program]);
});
afterAll(() => arena?.[Symbol.asyncDispose]());

/** Of the certificate that is served now, as a client sees it that trusts this bundle and no other. */
async function served(bundle: string): Promise<string> {
  const socket = connect({ host: arena.address, port: program.port, ca: bundle, servername: SERVICE_NAME });
  await once(socket, 'secureConnect');
  const fingerprint = socket.getPeerX509Certificate()?.fingerprint256 ?? '';
  socket.destroy();
  return fingerprint;
}

test('a Secret that somebody empties is filled anew; the new certificate is served within 10 s, and no pod is refused', async () => {
  const [bundle = ''] = await arena.caBundles();
  const before = await served(bundle);
  const { data: _, ...rest } = await readTlsSecret(arena);
  const refused: string[] = [];
  let isOver = false;
  const creating = (async () => {
    for (let at = 0; !isOver; at++) {
      const still = stoodStill();
      const answer = await createPod(arena, `during-${at}`);
      // An API server that stood still has waited for nobody.
      if (answer.status !== 201 && stoodStill() === still) refused.push(JSON.stringify(answer.body));
    }
  })();

  await arena.must('PUT', TLS_SECRET, rest);
  const servedMs = await timed('another certificate is served', async () => {
    const [now = ''] = await arena.caBundles();
    return (await served(now)) !== before;
  });
  isOver = true;
  await creating;

  console.log(`new certificate served ${servedMs.toFixed(0)} ms after the Secret was emptied`);
  expect(servedMs).toBeLessThan(10_000);
  expect(refused).toEqual([]);
});

test('a Secret that is deleted is named, the old certificate goes on being served, and an empty one is filled', async () => {
  await arena.must('DELETE', TLS_SECRET);
  const sentence = `the Secret ${OWN_NAMESPACE}/keyless-pull-tls does not exist`;
  await timed('both say so', async () => program.output().split(sentence).length >= 3);
  const during = await createPod(arena, 'while-it-is-gone');
  const metrics = await program.metrics();

  await applyManifests(arena.controlPlane, readManifests('secret.yaml'));
  await timed('the pair is back', async () => (await readTlsSecret(arena)).data?.['tls.crt'] !== undefined);
  await timed('the metric says so', async () =>
    (await program.metrics()).includes('keyless_pull_certificate_reload_ok 1'),
  );

  expect(during.status).toBe(201);
  expect(metrics).toContain('keyless_pull_certificate_reload_ok 0');
  expect((await createPod(arena, 'afterwards')).status).toBe(201);
});

test('a leader that is killed in the middle of a renewal leaves it to the next one', async () => {
  const next = await arena.start('second', { role: 'worker' });
  await killInRenewal();
  await timed(
    'the next one has finished it',
    async () => (await readTlsSecret(arena)).data?.['tls.crt'] !== undefined,
  );
  program = await arena.start('third', { role: 'webhook' });
  await arena.route([program]);

  expect(next.output()).toContain('certificate renewed');
  await waitUntil('pods go through', async () => (await createPod(arena, 'after-death')).status === 201, {
    deadlineMs: 30_000,
  });
});

/** Three seconds after it began it ends: a leader that was let finish it, by a machine that stood still, begins another one. */
async function killInRenewal(): Promise<void> {
  const { data: _, ...rest } = await readTlsSecret(arena);
  await arena.must('PUT', TLS_SECRET, rest);
  await timed(
    'the renewal has begun',
    async () => (await readTlsSecret(arena)).data?.['ca.crt'] !== undefined,
  );
  program.kill('SIGSTOP');
  if ((await readTlsSecret(arena)).data?.['tls.crt'] !== undefined) {
    program.kill('SIGCONT');
    return killInRenewal();
  }
  program.kill('SIGKILL');
  await program.ended();
}

test('a rotation under load: none of 100,000 reviews fails, over old connections and new ones, and the new certificate is served within 10 s', async () => {
  const total = 100_000;
  const bundles = await arena.caBundles();
  let bundle = bundles[0] ?? '';
  const target = {
    host: arena.address,
    port: program.port,
    servername: SERVICE_NAME,
    // As an API server, which hears of a change of the configuration a moment later.
    trust: () => bundle,
  };
  using kept = createApiServerClient(target, { sockets: 25 });
  const before = await served(bundle);
  const counts: Record<string, number> = {};
  let sent = 0;
  let rotations = 0;
  let slowestMs = 0;
  let isRotating = true;
  const rotating = (async () => {
    while (sent < total * 0.9) {
      const last = await served(bundle);
      const { data, ...rest } = await readTlsSecret(arena);
      const { 'tls.crt': _, 'tls.key': __, ...others } = data ?? {};
      await arena.must('PUT', TLS_SECRET, { ...rest, data: others });
      const ms = await timed('another certificate is served', async () => {
        [bundle = ''] = await arena.caBundles();
        return (await served(bundle)) !== last;
      });
      rotations++;
      slowestMs = Math.max(slowestMs, ms);
    }
  })().finally(() => (isRotating = false));
  const review = JSON.stringify(reviewOf(podOf(`${HOST}/web/app:1`)));
  const send = async () => {
    while (sent < total || isRotating) {
      // Every fiftieth over a connection of its own, with a handshake against the bundle of the moment.
      const nth = sent++;
      using fresh = nth % 50 === 0 ? createApiServerClient(target) : undefined;
      const outcome = await (fresh ?? kept).review('/mutate', review);
      counts[outcome] = (counts[outcome] ?? 0) + 1;
    }
  };
  await Promise.all([rotating, ...Array.from({ length: 24 }, send)]);

  console.log(
    `${sent} reviews over ${rotations} rotations: ${JSON.stringify(counts)}; new certificate served after ${slowestMs.toFixed(0)} ms at most`,
  );
  expect(counts).toEqual({ ok: sent });
  expect(sent).toBeGreaterThanOrEqual(total);
  expect(rotations).toBeGreaterThanOrEqual(2);
  expect(slowestMs).toBeLessThan(10_000);
  expect(await served(bundle)).not.toBe(before);
});
