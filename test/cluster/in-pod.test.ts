// What the real API server says of our mounts: the strictest namespaces take them, and an account that enforces mountable
// secrets keeps the docker config's volume out, which is why the plan leaves it out there.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { patchFor } from '../../src/core/pod-patch.ts';
import { viewAccount, viewPod } from '../../src/core/pod-view.ts';
import { planPulls } from '../../src/core/pull-plan.ts';
import { startControlPlane, type ControlPlane } from '../../tools/control-plane.ts';
import { applyStrictly } from '../fakes/admission-pod-patch.ts';
import { ruleFrom, TEST_HOST } from '../fakes/builders.ts';

const rules = [ruleFrom({ inPod: ['token', 'docker-config'], token: { inject: 'mount' } })];
const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted' };

let controlPlane: ControlPlane;

beforeAll(async () => {
  controlPlane = await startControlPlane();
  await controlPlane.admin('POST', '/api/v1/namespaces', { metadata: { name: 'shop', labels: restricted } });
  const accounts = [
    { metadata: { name: 'web' } },
    { metadata: { name: 'guarded', annotations: { 'kubernetes.io/enforce-mountable-secrets': 'true' } } },
  ];
  for (const account of accounts)
    await controlPlane.admin('POST', '/api/v1/namespaces/shop/serviceaccounts', account);
});

afterAll(() => controlPlane[Symbol.asyncDispose]());

const postPod = (pod: unknown) =>
  controlPlane.admin<{ message?: string; spec?: { volumes?: { name: string }[] } }>(
    'POST',
    '/api/v1/namespaces/shop/pods?dryRun=All',
    pod,
  );

/** As admission does it: planned for `as`, and run by `account`. */
function patched(account: string, as = account) {
  const restrictedContainer = (name: string) => ({
    name,
    image: `${TEST_HOST}/tools/${name}:1`,
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
  });
  const raw = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: 'shop',
      name: 'copy',
      annotations: {
        'keyless-pull.dev/mount': '*',
        'keyless-pull.dev/docker-config': 'team-registry:*',
      },
    },
    spec: {
      serviceAccountName: account,
      securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } },
      initContainers: [{ ...restrictedContainer('sidecar'), restartPolicy: 'Always' }],
      containers: [restrictedContainer('crane')],
    },
  };
  const annotations = as === 'guarded' ? { 'kubernetes.io/enforce-mountable-secrets': 'true' } : {};
  const view = viewAccount({ metadata: { namespace: 'shop', name: account, uid: 'u', annotations } });
  const pod = viewPod(raw);
  const plan = planPulls(pod, view, {}, { rules, needsPerPod: 8 });
  return { plan, pod: applyStrictly(raw, patchFor(raw, pod, plan, false)) };
}

describe('the real API server', () => {
  test('takes both mounts in a namespace of the strictest pod security', async () => {
    const { plan, pod } = patched('web');

    const { status, body } = await postPod(pod);

    expect(plan.inPod.dockerConfig?.containers).toEqual(['sidecar', 'crane']);
    expect(plan.inPod.tokens?.containers).toEqual(['sidecar', 'crane']);
    expect(status, body.message).toBe(201);
    const names = (body.spec?.volumes ?? []).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['keyless-pull-tokens', 'keyless-pull-docker-config']));
  });

  test('refuses the docker config under an account that enforces mountable secrets', async () => {
    const { pod } = patched('guarded', 'web');

    const { status, body } = await postPod(pod);

    expect(status).toBe(403);
    expect(body.message).toMatch(/volume .*secret/i);
  });

  test('and takes what the plan leaves for it', async () => {
    const { plan, pod } = patched('guarded');

    const { status, body } = await postPod(pod);

    expect(plan.inPod.dockerConfig).toBeUndefined();
    expect(plan.leftOut.map(({ reason }) => reason)).toEqual(['mountable-secrets', 'mountable-secrets']);
    expect(status, body.message).toBe(201);
  });
});
