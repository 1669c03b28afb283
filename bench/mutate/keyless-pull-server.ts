// Ours: the webhook as `serve` puts it together (certificate, port, routes, metrics, log lines on stdout), over a view that
// has seen what the pod needs. Only the API server is missing: on the warm path nobody asks it.
import { createConfigFile } from '../../src/config-file.ts';
import { systemClock } from '../../src/clock.ts';
import { createAccountLookup } from '../../src/cluster/account-lookup.ts';
import { startWebhook } from '../../src/cli/webhook.ts';
import { createKeeper } from '../../src/credentials/keeper.ts';
import { createLog } from '../../src/log.ts';
import { createHealth } from '../../src/server/health.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import type { KubeCluster } from '../../src/cluster/kube-cluster.ts';
import { answerAsServer, fileOf } from './server-child.ts';
import { createWarmView } from './warm-view.ts';

const clock = systemClock;
const log = createLog('info', { write: (line) => process.stdout.write(line) });
const config = createConfigFile(fileOf('config'), { clock, log, check: () => undefined });
const view = createWarmView(config.current().rules, clock.now());
const notWarm = () => Promise.reject(new Error('the warm path asked the API server'));
const cluster = { view, isInCluster: false, findAccount: notWarm, findNamespace: notWarm };
const webhook = await startWebhook(
  {
    clock,
    log,
    metrics: createMetrics(),
    health: createHealth(),
    config,
    // The webhook reads the view alone; everything else of a cluster is the worker's.
    cluster: cluster as Partial<KubeCluster> as KubeCluster,
  },
  {
    keeper: createKeeper({ view, clock }),
    lookup: createAccountLookup({ cluster, clock }),
    workerIsAlive: () => true,
    mayOpenGates: () => true,
  },
  { kind: 'files', certificateFile: fileOf('certificate'), keyFile: fileOf('key') },
  { host: '127.0.0.1', port: 0, signal: new AbortController().signal },
);
answerAsServer(webhook.port);
