// Three replicas behind a Service are replaced, one after the other, ten times over, while reviews come as from an API server.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { awakeNow } from '../awake-clock.ts';
import { podOf, reviewOf } from '../fakes/admission-routes.ts';
import { openServiceArena, SERVICE_NAME, type ServiceProgram } from '../cluster/service-arena.ts';
import { countOutcomes, createApiServerClient } from './api-server-client.ts';
import { openBalancer } from './balancer.ts';

const ROUNDS = 10;
const REVIEWS_A_SECOND = 200;
/** Until every kube-proxy knows that an endpoint is gone. */
const SPREAD_MS = 2_000;
const REVIEW = JSON.stringify(reviewOf(podOf('registry.team.example:5000/web/app:1')));

test('ten rolling restarts of three replicas at 200 reviews a second lose none', async () => {
  await using arena = await openServiceArena();
  await using balancer = await openBalancer();
  let started = 0;
  const start = () => arena.start(`replica-${started++}`, { flags: ['--linger-seconds', '6'] });
  const replicas: ServiceProgram[] = [];
  const route = () => {
    balancer.endpoints = replicas.map(({ port }) => ({ host: arena.address, port }));
  };
  for (let nth = 0; nth < 3; nth++) replicas.push(await start());
  route();
  const [bundle = ''] = await arena.caBundles();
  using client = createApiServerClient({
    host: '127.0.0.1',
    port: balancer.port,
    servername: SERVICE_NAME,
    trust: () => bundle,
  });

  const outcomes: Promise<string>[] = [];
  let isOver = false;
  const startedAt = awakeNow();
  const sending = (async () => {
    while (!isOver) {
      const due = ((awakeNow() - startedAt) / 1000) * REVIEWS_A_SECOND;
      while (outcomes.length < due) outcomes.push(client.review('/mutate', REVIEW));
      await sleep(5);
    }
  })();
  const dying: Promise<void>[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (let nth = 0; nth < 3; nth++) {
      replicas.push(await start());
      // Still among the endpoints while it stops: who routes hears of it late.
      route();
      const old = replicas.shift();
      old?.kill('SIGTERM');
      dying.push(old?.ended() ?? Promise.resolve());
      await sleep(SPREAD_MS);
      route();
    }
  }
  await Promise.all(dying);
  isOver = true;
  await sending;
  const counts = countOutcomes(await Promise.all(outcomes));

  const seconds = (awakeNow() - startedAt) / 1000;
  console.log(
    `${ROUNDS * 3} replicas replaced in ${seconds.toFixed(0)} s, ${outcomes.length} reviews (${(outcomes.length / seconds).toFixed(0)} a second): ${JSON.stringify(counts)}, answers ${JSON.stringify([...client.statuses])}`,
  );
  expect(counts).toEqual({ ok: outcomes.length });
  // The API server would ask again after a 503; a client that never does loses none either.
  expect([...client.statuses]).toEqual([[200, outcomes.length]]);
  expect(outcomes.length / seconds).toBeGreaterThan(REVIEWS_A_SECOND * 0.95);
});
