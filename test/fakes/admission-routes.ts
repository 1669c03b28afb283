// The webhook as the program builds it, over a small world: namespace team-a, account builder, one rule.
import type { RequestListener } from 'node:http';
import { createMutatePod } from '../../src/admission/mutate-pod.ts';
import { createRoutes } from '../../src/admission/routes.ts';
import { createValidate } from '../../src/admission/validate.ts';
import type { AccountLookup } from '../../src/cluster/account-lookup.ts';
import type { ClusterView } from '../../src/cluster/cluster.ts';
import type { Clock } from '../../src/clock.ts';
import { Policy } from '../../src/core/pull-policy.ts';
import { createKeeper } from '../../src/credentials/keeper.ts';
import { createLog } from '../../src/log.ts';
import { createHealth } from '../../src/server/health.ts';
import type { Metrics } from '../../src/server/metrics.ts';
import { createAdmissionView, createBlindLookup } from './admission-view.ts';
import { createHandClock } from './hand-clock.ts';
import { Rule } from './builders.ts';

export interface AdmissionWorld {
  readonly handler: RequestListener;
  readonly health: ReturnType<typeof createHealth>;
  readonly view: ReturnType<typeof createAdmissionView>;
  /** Log lines, parsed. */
  readonly lines: Record<string, unknown>[];
  /** Path, outcome and reason of each answer. */
  readonly answers: string[];
  isDraining: boolean;
  overload: string | undefined;
}

export function createAdmissionWorld(
  replaced: {
    clock?: Clock;
    lookupFor?: (view: ClusterView) => AccountLookup;
    rules?: unknown[];
    write?: (line: string) => void;
    metrics?: Pick<Metrics, 'admission' | 'finding'>;
  } = {},
): AdmissionWorld {
  const clock = replaced.clock ?? createHandClock();
  const view = createAdmissionView({
    namespaces: [{ name: 'team-a', labels: { 'keyless-pull.dev/inject': 'enabled' }, isTerminating: false }],
    accounts: [
      {
        namespace: 'team-a',
        name: 'builder',
        uid: 'uid-of-builder',
        annotations: {},
        pullSecrets: [],
        isDeleting: false,
      },
    ],
  });
  const rules = (replaced.rules ?? [TEAM_REGISTRY]).map((rule) => Rule.parse(rule));
  const lookup = (replaced.lookupFor ?? createBlindLookup)(view);
  const lines: Record<string, unknown>[] = [];
  const answers: string[] = [];
  const health = createHealth();
  const tools = { view, lookup, clock };
  const world: AdmissionWorld = {
    health,
    view,
    lines,
    answers,
    isDraining: false,
    overload: undefined,
    handler: createRoutes({
      mutatePod: createMutatePod({
        ...tools,
        keeper: createKeeper({ view, clock }),
        settings: () => ({ rules, needsPerPod: 8 }),
        workerIsAlive: () => true,
      }),
      validate: createValidate({
        ...tools,
        settings: () => ({ rules, needsPerPod: 8, policy: Policy.parse({}) }),
        onFinding: (mode, namespace, { origin, exemption }) =>
          replaced.metrics?.finding(mode, namespace, origin, exemption !== undefined),
      }),
      health: health.handler,
      isDraining: () => world.isDraining,
      onAnswer(path, outcome, reason, seconds) {
        answers.push(`${path} ${outcome} ${reason}`);
        replaced.metrics?.admission(path, outcome, reason, seconds);
      },
      isOverloaded: () => world.overload,
      clock,
      log: createLog('debug', { write: replaced.write ?? ((line) => void lines.push(JSON.parse(line))) }),
    }),
  };
  return world;
}

const TEAM_REGISTRY = {
  name: 'team-registry',
  hosts: ['registry.team.example:5000'],
  audience: 'https://registry.team.example',
  exchange: { kind: 'pass-through' },
};

export const REVIEW_UID = '705ab4f5-6393-11e8-b7cc-42010a800002';

export function podOf(image: string, spec: object = {}): Record<string, unknown> {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'team-a' },
    spec: { serviceAccountName: 'builder', containers: [{ name: 'app', image }], ...spec },
  };
}

/** As kube-apiserver writes it. */
export function reviewOf(object: unknown, request: object = {}): Record<string, unknown> {
  return {
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid: REVIEW_UID,
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      requestKind: { group: '', version: 'v1', kind: 'Pod' },
      requestResource: { group: '', version: 'v1', resource: 'pods' },
      name: 'web',
      namespace: 'team-a',
      operation: 'CREATE',
      userInfo: { username: 'jane', groups: ['system:authenticated'] },
      object,
      oldObject: null,
      dryRun: false,
      options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1' },
      ...request,
    },
  };
}
