// The webhook half of serve: certificate, routes and port, put together.
import { createMutatePod } from '../admission/mutate-pod.ts';
import { createRoutes } from '../admission/routes.ts';
import { createValidatePod } from '../admission/validate-pod.ts';
import { Problem } from '../problem.ts';
import { createCertificate } from '../server/certificate.ts';
import { createDrain } from '../server/drain.ts';
import { createHttpsServer } from '../server/https-server.ts';
import type { AccountLookup } from '../cluster/account-lookup.ts';
import type { Keeper } from '../credentials/keeper.ts';
import type { Parts, ServeOptions } from './serve.ts';

/** Until every kube-proxy has heard that this replica is gone; outside a cluster there is none. */
const LINGER_MS = 10_000;
const REFUSE_MS = 5_000;
const DAY_MS = 86_400_000;

export interface WebhookTools {
  readonly keeper: Pick<Keeper, 'standingOf'>;
  readonly lookup: AccountLookup;
  workerIsAlive(): boolean;
}

export async function startWebhook(
  parts: Parts,
  tools: WebhookTools,
  options: ServeOptions,
): Promise<AsyncDisposable & { readonly port: number }> {
  const { clock, log, metrics, health, config, cluster } = parts;
  const { keeper, lookup, workerIsAlive } = tools;
  const { tlsCert, tlsKey } = options;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new Problem(
      'usage',
      'the webhook speaks HTTPS only: pass --tls-cert and --tls-key, or run --role worker',
    );
  }
  await using started = new AsyncDisposableStack();
  const certificate = started.use(
    await createCertificate({ clock, log }, { certificateFile: tlsCert, keyFile: tlsKey }),
  );
  const drain = createDrain();
  const { view } = cluster;
  const settings = () => {
    const { rules, policy, worker } = config.current();
    return { rules, policy, needsPerPod: worker.needsPerPod };
  };
  const handler = createRoutes({
    mutatePod: createMutatePod({ view, lookup, keeper, settings, workerIsAlive, clock }),
    validatePod: createValidatePod({
      view,
      lookup,
      settings,
      clock,
      onFinding: (mode, namespace, { origin, exemption }) =>
        metrics.finding(mode, namespace, origin, exemption !== undefined),
    }),
    health: health.handler,
    isDraining: () => drain.phase() === 'refusing',
    onAnswer: (path, outcome, reason, seconds) => metrics.admission(path, outcome, reason, seconds),
    clock,
    log,
  });
  health.check('stopping', () => (drain.phase() === 'serving' ? undefined : 'this replica is stopping'));
  metrics.onScrape(() =>
    metrics.certificateDaysLeft((certificate.current().expiresAt - clock.now()) / DAY_MS),
  );
  const server = started.use(
    await createHttpsServer(
      { certificate, handler, drain, clock, log },
      {
        port: options.port,
        ...(options.host !== undefined && { host: options.host }),
        lingerMs: cluster.isInCluster ? LINGER_MS : 0,
        refuseMs: REFUSE_MS,
      },
    ),
  );
  const all = started.move();
  return { port: server.port, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
