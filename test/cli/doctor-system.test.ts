// What `doctor system` makes of installations that differ from the usual one; test/long/doctor-system.test.ts has a real one.
import { expect, test } from 'vitest';
import { dryRunSteps } from '../../src/cli/system/dry-run-step.ts';
import { expectedRights } from '../../src/cli/system/expected.ts';
import { installSteps } from '../../src/cli/system/install-steps.ts';
import { rightsSteps } from '../../src/cli/system/rights-step.ts';
import { createLook, type SystemStepId } from '../../src/cli/system/step.ts';
import { statusProblem } from '../../src/cluster/kube-problem.ts';
import { createFakeUserCluster, refusal } from './fake-user-cluster.ts';

interface Installation {
  readonly deployments?: readonly object[];
  readonly pods?: readonly object[];
  /** Where namespaces may not be listed: true. */
  readonly hidesNamespaces?: boolean;
  readonly read?: (path: string) => unknown;
  readonly isAllowed?: (user: string, right: Record<string, string | undefined>) => boolean;
}

const deployment = (name: string, account: string, args: readonly string[]) => ({
  metadata: { name },
  spec: { template: { spec: { serviceAccountName: account, containers: [{ name: 'keyless-pull', args }] } } },
});

const pod = (name: string, ports: readonly object[]) => ({
  metadata: { name },
  spec: { containers: [{ name: 'keyless-pull', ports }] },
});

/** 503 as kubectl gets it through the API server. */
const unavailable = (body: object) => statusProblem(503, body, undefined, { method: 'GET', path: '/readyz' });

async function findingOf(
  step: SystemStepId,
  { deployments = [], pods = [], hidesNamespaces = false, read, isAllowed }: Installation,
) {
  const fake = createFakeUserCluster();
  const cluster = {
    ...fake,
    read: async (path: string) => read?.(path),
    list: async (path: string) => {
      if (hidesNamespaces && path === '/api/v1/namespaces') throw refusal();
      return path.endsWith('/deployments') ? deployments : path.endsWith('/pods') ? pods : [];
    },
    ask: async (_path: string, body: unknown) => {
      const { user, resourceAttributes } = (
        body as { spec: { user: string; resourceAttributes: Record<string, string | undefined> } }
      ).spec;
      return { status: { allowed: isAllowed?.(user.split(':').at(-1) ?? '', resourceAttributes) ?? false } };
    },
  };
  const look = createLook(
    { ownNamespace: 'keyless-pull', readsCertificate: false },
    { cluster, clock: fake.clock, signal: new AbortController().signal },
  );
  const check = [...installSteps, ...rightsSteps, ...dryRunSteps].find((each) => each.step === step);
  return check?.run(look);
}

const WORKER_PORTS = [{ name: 'metrics', containerPort: 9191 }];
const READYZ = '/api/v1/namespaces/keyless-pull/pods/worker-1:9191/proxy/readyz';

test('a worker of its own is asked at the one port that it has, as the installation numbers it', async () => {
  const asked: string[] = [];
  const finding = await findingOf('readyz', {
    pods: [pod('worker-1', WORKER_PORTS)],
    read: (path) => {
      asked.push(path);
      return { status: 'ready' };
    },
  });

  expect(finding).toMatchObject({ outcome: 'ok', found: '1 of 1 replicas say that they are ready' });
  expect(asked).toEqual([READYZ]);
});

test('a replica that says it is not ready fails, with the command that shows why; one that is not reached is skipped', async () => {
  const answers = (body: object) =>
    findingOf('readyz', {
      pods: [pod('worker-1', WORKER_PORTS)],
      read: () => {
        throw unavailable(body);
      },
    });

  expect(await answers({ status: 'waiting', waiting: { fences: 'fence-missing' } })).toMatchObject({
    outcome: 'failed',
    cure: `kubectl get --raw ${READYZ} says what is missing`,
  });
  expect(
    await answers({ kind: 'Status', reason: 'ServiceUnavailable', message: 'error trying to reach service' }),
  ).toMatchObject({ outcome: 'skipped' });
});

const SERVED_BY_OTHERS = ['serve', '--tls-secret', 'our-pair', '--ca-bundle', 'leave'];
const split = (args: readonly string[]) => [
  deployment('keyless-pull-webhook', 'keyless-pull-webhook', [...args, '--role', 'webhook']),
  deployment('keyless-pull-worker', 'keyless-pull', [...args, '--role', 'worker']),
];

/** As the chart grants them where somebody else sees to the certificate. */
const isAllowed: Installation['isAllowed'] = (user, { group, resource, subresource, verb = '', name }) => {
  if (name === 'our-pair') return user === 'keyless-pull-webhook' && verb === 'get';
  if (name !== undefined) return false;
  const named = subresource ? `${resource}/${subresource}` : resource;
  return expectedRights.worker.some(
    (right) =>
      right.group === group &&
      right.resource === named &&
      right.name === undefined &&
      right.verbs.includes(verb),
  );
};

test('where others see to the certificate the worker needs no right for it, and the webhook that to the Secret by its name', async () => {
  const theirs = await findingOf('rights', { deployments: split(SERVED_BY_OTHERS), isAllowed });
  const ours = await findingOf('rights', { deployments: split(['serve']), isAllowed });

  expect(theirs).toMatchObject({ outcome: 'ok' });
  expect(ours).toMatchObject({ outcome: 'failed' });
  expect(ours?.found).toMatch(
    /^missing: get secrets keyless-pull-tls, update secrets keyless-pull-tls, get mutating/,
  );
});

test('that no namespace has opted in is said only by who may list them', async () => {
  expect(await findingOf('dry-run', { hidesNamespaces: true })).toMatchObject({
    outcome: 'skipped',
    found: 'you may not list namespaces: pass --try-in',
  });
  expect(await findingOf('dry-run', {})).toMatchObject({
    outcome: 'skipped',
    found: expect.stringContaining('no namespace has opted in'),
  });
});
