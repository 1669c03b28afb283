// A webhook with little of everything: 1.3 times the memory it uses, a tenth of a processor, 256 descriptors. Under more than it can
// bear it sends reviews away with 503 and Retry-After, and lives. Memory and processor are limited by a control group of the kernel, as
// a kubelet does it; where none can be made, by V8's own heap limit and by stopping the process nine tenths of the time.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { waitUntil } from '../../tools/processes.ts';
import { podOf, reviewOf } from '../fakes/admission-routes.ts';
import {
  openServiceArena,
  SERVICE_NAME,
  type ServiceArena,
  type ServiceProgram,
} from '../cluster/service-arena.ts';
import { countOutcomes, createApiServerClient, type ApiServerClient } from './api-server-client.ts';
import { openControlGroup, type ControlGroup } from './cgroup.ts';

const REVIEW = JSON.stringify(reviewOf(podOf('registry.team.example:5000/web/app:1')));
const LARGE = JSON.stringify(
  reviewOf(podOf('registry.team.example:5000/web/app:1', { padding: 'x'.repeat(500_000) })),
);
const CPUS = 0.1;
const DESCRIPTORS = ['prlimit', '--nofile=256:256'];
const OVERLOAD_MS = 30_000;
/** Before the processor is taken away: connections are there when the pressure begins, as an API server's are. */
const CONNECTING_MS = 3_000;
/**
 * About as many at once as there are descriptors. How many of them are connected at any moment is left to chance: libuv accepts one
 * connection between two rounds of reviews, and the rest wait in the kernel's queue. What is sent away for certain is tried apart.
 */
const AT_ONCE = 240;
/** More than this replica keeps, which is three quarters of what 256 descriptors leave it; where memory is full, fewer do. */
const TOO_MANY = 160;

function clientOf(
  arena: ServiceArena,
  program: ServiceProgram,
  bundle: string,
  limits: Parameters<typeof createApiServerClient>[1] = {},
): ApiServerClient {
  return createApiServerClient(
    { host: arena.address, port: program.port, servername: SERVICE_NAME, trust: () => bundle },
    limits,
  );
}

/** As many at once as there are senders, each its next review when the last is answered. */
async function load(client: ApiServerClient, senders: number, ms: number, bodyOf: (nth: number) => string) {
  const outcomes: string[] = [];
  const endAt = performance.now() + ms;
  let sent = 0;
  const send = async () => {
    while (performance.now() < endAt) outcomes.push(await client.review('/mutate', bodyOf(sent++)));
  };
  await Promise.all(Array.from({ length: senders }, send));
  return outcomes;
}

/** Ten connections more in each round, and all of them kept, until a review is sent away. */
async function fillUp(client: ApiServerClient): Promise<void> {
  for (let connections = 10; connections <= TOO_MANY && !client.statuses.has(503); connections += 10)
    await Promise.all(Array.from({ length: connections }, () => client.review('/mutate', REVIEW)));
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}

/** What a control group does: a tenth of each 100 ms. */
async function throttle(program: ServiceProgram, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    program.kill('SIGCONT');
    await sleep(100 * CPUS);
    program.kill('SIGSTOP');
    await sleep(100 * (1 - CPUS));
  }
  program.kill('SIGCONT');
}

async function memoryUnderLoad(arena: ServiceArena, bundle: string): Promise<number> {
  using group = openControlGroup('keyless-pull-measure');
  const program = await arena.start('measured', {
    role: 'webhook',
    wrapper: [...(group?.wrapper ?? []), ...DESCRIPTORS],
  });
  using client = clientOf(arena, program, bundle, { sockets: 25 });
  await load(client, 10, 10_000, () => REVIEW);
  const bytes = group?.memoryInUse() || residentBytes(program.pid);
  program.kill('SIGKILL');
  await program.ended();
  return bytes;
}

test('with 1.3 times its memory, 100 m of CPU and 256 descriptors it sheds, and does not die', async () => {
  await using arena = await openServiceArena();
  const worker = await arena.start('worker', { role: 'worker' });
  await arena.start('first', { role: 'webhook' }).then((first) => first.kill('SIGKILL'));
  const [bundle = ''] = await arena.caBundles();
  const inUse = await memoryUnderLoad(arena, bundle);
  const limit = inUse * 1.3;

  using group: ControlGroup | undefined = openControlGroup('keyless-pull-pressed');
  group?.limit({ memory: limit });
  const program = await arena.start('pressed', {
    role: 'webhook',
    wrapper: [...(group?.wrapper ?? []), ...DESCRIPTORS],
    nodeFlags: group ? [] : [`--max-old-space-size=${Math.floor((limit - inUse / 2) / 2 ** 20)}`],
  });
  using normal = clientOf(arena, program, bundle, { sockets: 5 });
  expect(await normal.review('/mutate', REVIEW)).toBe('ok');
  let died = false;
  void program.ended().then(() => (died = true));

  using crowd = clientOf(arena, program, bundle);
  // Every twentieth is half a megabyte: together they are more than there is memory.
  const loading = load(crowd, AT_ONCE, CONNECTING_MS + OVERLOAD_MS, (nth) =>
    nth % 20 === 0 ? LARGE : REVIEW,
  );
  await sleep(CONNECTING_MS);
  crowd.statuses.clear();
  const throttled = new AbortController();
  group?.limit({ cpus: CPUS });
  const throttling = group ? Promise.resolve() : throttle(program, throttled.signal);
  const outcomes = await loading;
  const peak = residentBytes(program.pid);
  // The crowd is gone, but what it began is still read: handshakes of the last seconds, and reviews whose time is over.
  const overAt = performance.now();
  crowd[Symbol.dispose]();
  const isNormal = async () =>
    (await load(normal, 2, 1_000, () => REVIEW)).every((outcome) => outcome === 'ok');
  await waitUntil('it answers as before', isNormal, { deadlineMs: 30_000 });
  const recoverySeconds = (performance.now() - overAt) / 1000 - 1;
  const afterwards = await load(normal, 2, 10_000, () => REVIEW);
  using filling = clientOf(arena, program, bundle, { idle: TOO_MANY });
  await fillUp(filling);
  filling[Symbol.dispose]();
  await waitUntil('it answers when there is room again', isNormal, { deadlineMs: 30_000 });
  const isDead = died;
  throttled.abort();
  await throttling;

  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  console.log(
    [
      `limited by ${group ? 'a control group' : 'V8 and signals'}: memory ${mib(limit)} (in use ${mib(inUse)}), ${CPUS} CPUs, 256 descriptors`,
      `${AT_ONCE} at once for ${OVERLOAD_MS / 1000} s: ${JSON.stringify(countOutcomes(outcomes))}, answers ${JSON.stringify([...crowd.statuses])}`,
      `resident at the end ${mib(peak)}; answers after ${recoverySeconds.toFixed(1)} s; afterwards ${JSON.stringify(countOutcomes(afterwards))}`,
      `filled up on purpose: answers ${JSON.stringify([...filling.statuses])}`,
    ].join('\n'),
  );
  expect(isDead).toBe(false);
  expect(crowd.statuses.get(200) ?? 0).toBeGreaterThan(0);
  expect([...crowd.statuses.keys()].filter((status) => status !== 200 && status !== 503)).toEqual([]);
  expect(countOutcomes(afterwards)).toEqual({ ok: afterwards.length });
  expect(new Set(filling.statuses.keys())).toEqual(new Set([200, 503]));
  program.kill('SIGKILL');
  worker.kill('SIGKILL');
  await Promise.all([program.ended(), worker.ended()]);
});
