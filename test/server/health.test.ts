import supertest from 'supertest';
import { expect, test } from 'vitest';
import { createHealth } from '../../src/server/health.ts';
import { createAdmissionWorld } from '../fakes/admission-routes.ts';

test('a process is alive as long as it answers, whatever it waits for', async () => {
  const health = createHealth();
  health.check('cluster', () => 'not yet');

  const answer = await supertest(health.handler).get('/healthz');

  expect([answer.status, answer.body]).toEqual([200, { status: 'ok' }]);
});

test('readiness names all that is not ready, and why', async () => {
  const health = createHealth();
  let missing: string | undefined = 'fence-missing: secrets-of-worker';
  health.check('watches', () => undefined);
  health.check('fences', () => missing);
  const takeBack = health.check('drain', () => 'stopping');

  const waiting = await supertest(health.handler).get('/readyz?verbose');
  missing = undefined;
  takeBack();
  const ready = await supertest(health.handler).get('/readyz');

  expect([waiting.status, waiting.body]).toEqual([
    503,
    { status: 'waiting', waiting: { fences: 'fence-missing: secrets-of-worker', drain: 'stopping' } },
  ]);
  expect([ready.status, ready.body]).toEqual([200, { status: 'ready' }]);
});

test('the webhook’s own port answers both', async () => {
  const world = createAdmissionWorld();
  world.health.check('watches', () => 'namespaces have not listed');

  expect((await supertest(world.handler).get('/healthz')).status).toBe(200);
  expect((await supertest(world.handler).get('/readyz')).status).toBe(503);
});
