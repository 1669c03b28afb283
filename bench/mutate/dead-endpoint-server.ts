// Webhook and worker in one process, as `serve` with `--role all`: `dead-endpoint-server.ts <folder>`. The cluster is a fake in
// the same process, with thousands of pods that wait for a credential from an endpoint that is dead. The worker can be told to
// rest, so that what it does is measured against the same process in the same second.
import { createConfigFile } from '../../src/config-file.ts';
import { systemClock } from '../../src/clock.ts';
import { createAccountLookup } from '../../src/cluster/account-lookup.ts';
import { startWebhook } from '../../src/cli/webhook.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { createWorker } from '../../src/credentials/worker.ts';
import { createLog } from '../../src/log.ts';
import { Problem } from '../../src/problem.ts';
import { createHealth } from '../../src/server/health.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import { createFakeClient } from '../../test/fakes/fake-cluster-clients.ts';
import { createFakeFences } from '../../test/fakes/fake-cluster-fences.ts';
import { createFakeHands } from '../../test/fakes/fake-cluster-hands.ts';
import { ruleFrom, TEST_AUDIENCE } from '../../test/fakes/builders.ts';
import { createPlainStore, createPlainTokens } from '../worker/plain-store.ts';
import type { ClusterView } from '../../src/cluster/cluster.ts';
import type { KubeCluster } from '../../src/cluster/kube-cluster.ts';
import type { Exchange } from '../../src/registry/exchange.ts';
import { answerParent } from '../child-process.ts';
import { fileOf } from './server-child.ts';
import { createWarmView } from './warm-view.ts';

/** `waiting`: how many pods are held. */
export type DeadEndpointQuestion = 'port' | 'waiting' | 'rest' | 'work';

const WAITING = 10_000;
const PER_NAMESPACE = 100;
const HOST = 'gateway.team.example';
const SOME_MS = 20;

const clock = systemClock;
const log = createLog('info', { write: (line) => process.stdout.write(line) });
const config = createConfigFile(fileOf('config'), { clock, log, check: () => undefined });
const store = createPlainStore(clock);
const tokens = createPlainTokens(clock);
const hands = createFakeHands(store, tokens, clock);
const namespace = 'keyless-pull';
const fences = createFakeFences(store, { namespace, audiences: new Set([TEST_AUDIENCE]) });
const rule = ruleFrom({ name: 'gateway', hosts: [HOST], exchange: { kind: 'token-realm' } });
const warm = createWarmView(config.current().rules, clock.now());
for (let nth = 0; nth < WAITING; nth++) {
  const team = `team-${Math.floor(nth / PER_NAMESPACE)}`;
  const name = `app-${nth}`;
  if (nth % PER_NAMESPACE === 0) hands.addNamespace(team);
  hands.addAccount(team, name);
  hands.addPod(team, name, {
    serviceAccount: name,
    images: [`${HOST}/app:1`],
    imagePullSecrets: [secretNameFor(name, rule.name, '', HOST)],
  });
}
hands.addNamespace(namespace, { labels: {} });
const client = createFakeClient(
  'worker',
  {},
  {
    store,
    tokens,
    clock,
    namespace,
    fences,
    lagMs: 0,
    missingFences: () => [],
    hook: () => undefined,
    write: () => undefined,
  },
);
/** What is admitted is warm; all the rest is the fake's. */
const view: ClusterView = {
  ...client.view,
  namespace: (name) => warm.namespace(name) ?? client.view.namespace(name),
  account: (of, name) => warm.account(of, name) ?? client.view.account(of, name),
  record: (of, name) => warm.record(of, name) ?? client.view.record(of, name),
};
// The admission that is measured asks the cluster nothing, and the worker meets the whole port.
const cluster = { ...client, view, isInCluster: false } as Partial<KubeCluster> as KubeCluster;

const exchange: Exchange = async () => {
  await clock.sleep(SOME_MS);
  throw new Problem('exchange-unreachable', 'cannot be reached: connection refused');
};
// The waiting pods' rule is the worker's alone: the webhook keeps the config that the load expects. Pods are held for as long
// as is measured.
const { worker: limits } = config.current();
const SETTINGS = { ...limits, rules: [rule], gateSeconds: 86_400 };
let isResting = false;
const worker = createWorker({
  cluster: { ...cluster, view: { ...view, unsynced: () => (isResting ? ['pods'] : view.unsynced()) } },
  exchange,
  clock,
  log,
  identity: 'bench',
  settings: () => SETTINGS,
});
void worker.run(new AbortController().signal);
const webhook = await startWebhook(
  { clock, log, metrics: createMetrics(), health: createHealth(), config, cluster },
  {
    keeper: worker.keeper,
    lookup: createAccountLookup({ cluster, clock }),
    workerIsAlive: () => worker.isLeading(),
    mayOpenGates: (namespace) => worker.mayOpenGates(namespace),
  },
  { kind: 'files', certificateFile: fileOf('certificate'), keyFile: fileOf('key') },
  { host: '127.0.0.1', port: 0, signal: new AbortController().signal },
);
answerParent<DeadEndpointQuestion>(async (question) => {
  if (question === 'port') return webhook.port;
  if (question === 'waiting') return hands.gatedPods().length;
  isResting = question === 'rest';
  return question;
});
