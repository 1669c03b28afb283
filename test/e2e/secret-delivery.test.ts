// Delivery by Secret, seen from the node: what a real kubelet pulls with the credentials that the worker keeps.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DOCKER_CONFIG_PATH } from '../../src/core/pod-mounts.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { findLeaks, signatureOf } from '../../tools/demo/leak-search.ts';
import { findParts } from '../../tools/parts.ts';
import { waitUntil } from '../../tools/processes.ts';
import { awakeNow, stoodStill } from '../awake-clock.ts';
import { inNamespace, makeApp, onThisNode, openNodeArena, type NodeArena } from './node-arena.ts';

let e2e: NodeArena;
/** Every password that a test has read. */
const passwords = new Set<string>();

beforeAll(async () => {
  // How often a kubelet looks at the volumes of pods: its own minute would be waited for.
  e2e = await openNodeArena({ node: () => ({ settings: { syncFrequency: '5s' } }) });
});

afterAll(() => e2e?.[Symbol.asyncDispose]());

/** A fresh namespace that opted in, with these accounts. */
async function openTeam(name: string, accounts: readonly string[]) {
  await e2e.arena.addNamespace(name);
  const team = inNamespace(e2e, name);
  for (const account of accounts) await team.createAccount(account);
  return {
    ...team,
    name,
    /** What an account has of rule `team`, or `other`. */
    async credential(account: string, rule: 'team' | 'other' = 'team') {
      const secretName = secretNameFor(account, rule, '', e2e[rule].host);
      const { uid, login } = await team.secret(secretName, e2e[rule].host);
      if (login) passwords.add(login.password);
      return { secretName, uid, login };
    },
  };
}

/** The command may be ended by the very end of the container: whether that came is seen by the next one. */
async function stopContainer(where: Parameters<typeof e2e.node.exec>[0]): Promise<void> {
  await e2e.node.exec(where, ['/waiter', 'stop']).catch(() => undefined);
}

const seconds = (since: number) => (performance.now() - since) / 1000;

test('every kind of workload starts cold in a fresh namespace, from two private registries, and no pull fails', async () => {
  const team = await openTeam('kinds', ['web', 'db', 'batch', 'bare']);
  const image = await e2e.team.push('kinds', await makeApp('kinds'));
  const tools = await e2e.other.push('kinds-tools', await makeApp('kinds-tools'));
  const template = (account: string, change: Record<string, unknown> = {}) => ({
    metadata: { labels: { app: account } },
    spec: onThisNode(account, { containers: [{ name: 'app', image, ...change }] }),
  });
  const selector = (account: string) => ({ matchLabels: { app: account } });
  const startedAt = performance.now();
  const apps = '/apis/apps/v1/namespaces/kinds';

  await team.must('POST', `${apps}/deployments`, {
    metadata: { name: 'web' },
    spec: { replicas: 2, selector: selector('web'), template: template('web') },
  });
  await team.must('POST', `${apps}/statefulsets`, {
    metadata: { name: 'db' },
    spec: { serviceName: 'db', selector: selector('db'), template: template('db') },
  });
  const job = template('batch', { command: ['/waiter', 'exit', '0'] });
  await team.must('POST', '/apis/batch/v1/namespaces/kinds/jobs', {
    metadata: { name: 'batch' },
    spec: { template: { ...job, spec: { ...job.spec, restartPolicy: 'Never' } } },
  });
  await team.createPod(
    'bare',
    onThisNode('bare', {
      initContainers: [{ name: 'init', image: tools, command: ['/waiter', 'exit', '0'] }],
      containers: [{ name: 'app', image }],
    }),
  );
  await waitUntil(
    'all of them run',
    async () => {
      const pods = await team.pods();
      const phases = pods.map(
        ({ metadata, status }) => `${metadata.labels?.['app'] ?? 'bare'} ${status.phase}`,
      );
      const wanted = ['bare Running', 'batch Succeeded', 'db Running', 'web Running', 'web Running'];
      if (phases.toSorted().join() !== wanted.join()) throw new Error(JSON.stringify(phases));
      return true;
    },
    { deadlineMs: 120_000, everyMs: 200 },
  );

  console.log(`Deployment, StatefulSet, Job and a bare pod, cold: ${seconds(startedAt).toFixed(1)} s`);
  expect(await team.pullTrouble()).toEqual([]);
  expect(e2e.team.requests('kinds')).toBeGreaterThan(0);
  expect(e2e.other.requests('kinds-tools')).toBeGreaterThan(0);
});

test('an image volume from the second registry is pulled with its own credential, and mounted', async () => {
  const team = await openTeam('volumes', ['reader']);
  const image = await e2e.team.push('volumes', await makeApp('volumes'));
  const data = await e2e.other.push('data', await makeApp('the data'));

  await team.createPod(
    'reader',
    onThisNode('reader', {
      containers: [{ name: 'app', image, volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
      volumes: [{ name: 'data', image: { reference: data } }],
    }),
  );
  await team.waitForPhase('Running', ['reader']);

  expect(await team.pullTrouble()).toEqual([]);
  const where = { namespace: 'volumes', pod: 'reader', container: 'app' };
  expect(await e2e.node.exec(where, ['/waiter', 'show', '/data/name'])).toBe('the data\n');
  expect(e2e.other.requests('data')).toBeGreaterThan(0);
});

test('a DaemonSet is not held: its first pull may fail, and the next one has the Secret', async () => {
  const team = await openTeam('daemons', ['agent']);
  const image = await e2e.team.push('daemons', await makeApp('daemons'));
  const startedAt = performance.now();

  await team.must('POST', '/apis/apps/v1/namespaces/daemons/daemonsets', {
    metadata: { name: 'agent' },
    spec: {
      selector: { matchLabels: { app: 'agent' } },
      template: {
        metadata: { labels: { app: 'agent' } },
        spec: onThisNode('agent', { containers: [{ name: 'app', image }] }),
      },
    },
  });
  await waitUntil('its pod runs', async () => (await team.pods())[0]?.status.phase === 'Running', {
    deadlineMs: 120_000,
    everyMs: 200,
  });

  const took = seconds(startedAt).toFixed(1);
  const events = await team.events();
  const failed = events.filter(({ note }) => note === 'Error: ErrImagePull').length;
  console.log(`DaemonSet, cold: ${took} s, pulls that failed before: ${failed}`);
  expect(events.filter(({ reason }) => reason.startsWith('PodReleased'))).toEqual([]);
});

describe('while a pod runs', () => {
  const where = (pod: string) => ({ namespace: 'running', pod, container: 'app' });
  let team: Awaited<ReturnType<typeof openTeam>>;
  let image: string;

  const restartsOf = async (pod: string) =>
    (await team.pod(pod)).status.containerStatuses?.[0]?.restartCount ?? 0;

  /** Ends the container; resolves when the kubelet has started the next one. */
  async function restart(pod: string): Promise<void> {
    const before = await restartsOf(pod);
    await stopContainer(where(pod));
    await waitUntil(
      `${pod} was restarted`,
      async () => {
        const [container] = (await team.pod(pod)).status.containerStatuses ?? [];
        return (
          container !== undefined && container.restartCount > before && container.state.running !== undefined
        );
      },
      { deadlineMs: 60_000, everyMs: 200 },
    );
  }

  beforeAll(async () => {
    team = await openTeam('running', ['web']);
    image = await e2e.team.push('running', await makeApp('running'));
    for (const policy of ['Always', 'IfNotPresent'])
      await team.createPod(
        policy.toLowerCase(),
        onThisNode('web', { containers: [{ name: 'app', image, imagePullPolicy: policy }] }),
      );
    await team.waitForPhase('Running', ['always', 'ifnotpresent']);
    expect(await team.pullTrouble()).toEqual([]);
  });

  test('its credential is renewed in the same Secret, and its restarted container pulls with it', async () => {
    const before = await team.credential('web');

    e2e.configure({ team: { token: { expirationSeconds: 600 } } });
    await waitUntil(
      'the credential is renewed',
      async () => (await team.credential('web')).login?.password !== before.login?.password,
      { deadlineMs: 60_000, everyMs: 500 },
    );
    const asked = e2e.team.requests('running');
    await restart('always');

    expect((await team.credential('web')).uid).toBe(before.uid);
    expect(e2e.team.requests('running')).toBeGreaterThan(asked);
    expect(await team.pullTrouble()).toEqual([]);
  });

  test('no registry is asked for an image that is present, before and after a renewal, and for a second pod', async () => {
    const asked = e2e.team.requests('running');

    await restart('ifnotpresent');
    await team.createPod('second', onThisNode('web', { containers: [{ name: 'app', image }] }));
    await team.waitForPhase('Running', ['second']);

    expect(e2e.team.requests('running')).toBe(asked);
    const told = async () =>
      (await team.events())
        .filter(({ reason, regarding }) => reason === 'Pulled' && regarding.name === 'second')
        .map(({ note }) => note);
    await waitUntil('the kubelet tells of it', async () => (await told()).length > 0, {
      deadlineMs: 60_000,
    });
    expect(await told()).toEqual([
      `Container image "${image}" already present on machine and can be accessed by the pod`,
    ]);
  });
});

test('where the token server asks the API server, a deleted Secret ends its credential within 15 s', async () => {
  const team = await openTeam('revoked', ['web']);
  const image = await e2e.other.push('revoked', await makeApp('revoked'));
  await team.createPod('web', onThisNode('web', { containers: [{ name: 'app', image }] }));
  await team.waitForPhase('Running', ['web']);
  const { secretName, login } = await team.credential('web', 'other');
  if (!login) throw new Error('the Secret has no login');
  expect(await e2e.other.logIn(login)).toBe(200);

  const deletedAt = awakeNow();
  await team.deleteSecret(secretName);

  await waitUntil('the old credential is refused', async () => (await e2e.other.logIn(login)) === 401, {
    deadlineMs: 60_000,
    everyMs: 250,
  });
  const took = (awakeNow() - deletedAt) / 1000;
  console.log(`a deleted Secret's credential was refused after ${took.toFixed(1)} s`);
  expect(took).toBeLessThanOrEqual(15);
});

describe('a pod that asks for its docker config', () => {
  test('has crane pull with it, and again after a renewal', async () => {
    e2e.configure({ team: { inPod: ['docker-config'], token: { expirationSeconds: 3600 } } });
    const team = await openTeam('tools', ['mirror']);
    const { crane } = await findParts(['crane']);
    const program = { path: 'crane', content: readFileSync(crane), mode: 0o755 };
    const authority = { path: 'etc/ssl/certs/ca-certificates.crt', content: e2e.certificateAuthority };
    const image = await e2e.team.push('tools', await makeApp('tools', [program, authority]));
    const inPod = (...command: string[]) =>
      e2e.node.exec({ namespace: 'tools', pod: 'mirror', container: 'crane' }, command);
    const pull = async () => {
      await inPod('/crane', 'pull', image, '/pulled.tar');
      return inPod('/crane', 'validate', '--tarball', '/pulled.tar');
    };
    // The rule is known once a dry run has the mount.
    const spec = onThisNode('mirror', { containers: [{ name: 'crane', image }] });
    const annotations = { 'keyless-pull.dev/docker-config': 'team:crane' };
    await waitUntil(
      'the config is taken',
      async () => {
        const pod = { metadata: { name: 'mirror', annotations }, spec };
        const path = '/api/v1/namespaces/tools/pods?dryRun=All';
        return JSON.stringify(await team.must('POST', path, pod)).includes('DOCKER_CONFIG');
      },
      { deadlineMs: 30_000, everyMs: 500 },
    );
    await team.createPod('mirror', spec, annotations);
    await team.waitForPhase('Running', ['mirror']);
    const before = await team.credential('mirror');

    expect(await pull()).toContain('PASS');

    // A life that no config before had: the worker may not have seen the last one.
    e2e.configure({ team: { inPod: ['docker-config'], token: { expirationSeconds: 900 } } });
    await waitUntil(
      'the credential is renewed',
      async () => (await team.credential('mirror')).login?.password !== before.login?.password,
      { deadlineMs: 60_000, everyMs: 500 },
    );
    const renewed = (await team.credential('mirror')).login?.password ?? '';
    const mounted = () => inPod('/waiter', 'show', `${DOCKER_CONFIG_PATH}/config.json`);
    await waitUntil('the pod has the new one', async () => (await mounted()).includes(renewed), {
      deadlineMs: 120_000,
      everyMs: 1000,
    });
    expect(await pull()).toContain('PASS');
  });
});

test('a Secret that was deleted by hand is made again after the first pull that failed, and the next one has it', async () => {
  const team = await openTeam('deleted', ['web']);
  const image = await e2e.team.push('deleted', await makeApp('deleted'));
  const app = { name: 'app', image, imagePullPolicy: 'Always' };
  await team.createPod('web', onThisNode('web', { containers: [app] }));
  await team.waitForPhase('Running', ['web']);
  const before = await team.credential('web');
  interface Record {
    readonly status: { readonly issuedAt: string };
  }
  const record = `/apis/keyless-pull.dev/v1alpha1/namespaces/deleted/pullcredentials/${before.secretName}`;
  const { status } = await team.must<Record>('GET', record);
  // In its first minute a Secret counts as good: what cannot pull yet has not tried with it.
  await waitUntil('it is a minute old', async () => Date.now() - Date.parse(status.issuedAt) > 60_000, {
    deadlineMs: 70_000,
    everyMs: 1000,
  });
  await team.deleteSecret(before.secretName);

  const still = stoodStill();
  await stopContainer({ namespace: 'deleted', pod: 'web', container: 'app' });

  await waitUntil(
    'the next container runs',
    async () => {
      const [container] = (await team.pod('web')).status.containerStatuses ?? [];
      return container?.restartCount === 1 && container.state.running !== undefined;
    },
    { deadlineMs: 120_000, everyMs: 200 },
  );
  const failures = (await team.events())
    .filter(({ note }) => note.startsWith('Failed to pull image'))
    .map(({ deprecatedFirstTimestamp, eventTime }) =>
      Date.parse(eventTime ?? deprecatedFirstTimestamp ?? ''),
    );
  const took = (Date.now() - Math.min(...failures) - (stoodStill() - still)) / 1000;
  console.log(`from the first failed pull to a running container: ${took.toFixed(0)} s`);
  expect(failures.length).toBeGreaterThan(0);
  expect(took).toBeLessThan(60);
  expect((await team.credential('web')).uid).not.toBe(before.uid);
});

test('no password of this run is in a log or an event', async () => {
  const texts = e2e.logs();
  for (const namespace of ['kinds', 'volumes', 'daemons', 'running', 'revoked', 'tools', 'deleted']) {
    const team = inNamespace(e2e, namespace);
    texts[`events in ${namespace}`] = JSON.stringify(await team.events());
    texts[`pods in ${namespace}`] = JSON.stringify(await team.pods());
  }
  const secrets = [...passwords].map(signatureOf);

  expect(secrets.length).toBeGreaterThanOrEqual(5);
  expect(findLeaks({ itself: [...passwords].join() }, secrets)).toEqual(['itself']);
  expect(findLeaks(texts, secrets)).toEqual([]);
});
