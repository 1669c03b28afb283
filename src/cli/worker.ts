// The worker half of serve: refreshes credentials, tries the fences, tells of static pull secrets, renews our certificate.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { createRotation } from '../certificates/rotation.ts';
import type { ConfigFile } from '../config-file.ts';
import { readEnvironment } from '../config.ts';
import { createFenceProbe } from '../credentials/fence-probe.ts';
import { whileLeading } from '../credentials/leader.ts';
import { createSharedExchange } from '../credentials/shared-exchange.ts';
import { tellStaticPullSecrets } from '../credentials/static-pull-events.ts';
import { createWorker } from '../credentials/worker.ts';
import { createExchange } from '../registry/exchange.ts';
import { createHttpCall } from '../registry/http-call.ts';
import { gateOutcome, measuredExchange } from './measured.ts';
import type { Parts } from './serve.ts';
import type { CertificateChoice } from './serving-certificate.ts';

export function startWorker(
  parts: Parts,
  certificate: CertificateChoice,
  signal: AbortSignal,
  running: Promise<void>[],
  background: AbortSignal,
) {
  const { clock, log, metrics, health, config, cluster } = parts;
  const http = createHttpCall(readEnvironment().proxy);
  const worker = createWorker({
    cluster,
    clock,
    log,
    exchange: createSharedExchange(measuredExchange(createExchange({ http }), metrics, clock), clock),
    identity: `${readEnvironment().podName ?? hostname()}-${randomUUID().slice(0, 8)}`,
    settings: settingsOf(config),
    onLeading: (leading) => metrics.leader(leading),
    onReleased: (seconds, late) => metrics.gate(gateOutcome(late), seconds),
    onRepair: (rule, result) => metrics.repair(rule, result),
    onHealing: (outcome) => metrics.healing(outcome),
    onRecordEnd: (reason) => metrics.recordEnd(reason),
  });
  const fences = createFenceProbe({ cluster, clock, log }, (all, missing) => metrics.fences(all, missing));
  running.push(fences.run(background));
  if (certificate.kind === 'own') {
    const rotation = createRotation({
      ...certificate,
      store: cluster,
      clock,
      log,
      createAuthority: async (...wish) =>
        (await import('../certificates/authority.ts')).createAuthority(...wish),
      isLeading: () => worker.isLeading(),
      writing: (ms) => whileLeading(() => worker.isLeading(), clock, ms),
    });
    running.push(rotation.run(signal));
  }
  const stopTelling = tellStaticPullSecrets({
    cluster,
    clock,
    settings: () => {
      const { rules, policy, worker: limits } = config.current();
      return { rules, policy, needsPerPod: limits.needsPerPod };
    },
    isLeading: () => worker.isLeading(),
  });
  background.addEventListener('abort', stopTelling, { once: true });
  health.check('fences', () => (config.current().fences === 'required' ? fences.trouble() : undefined));
  return { keeper: worker.keeper, own: worker, working: worker.run(signal) };
}

/** The same objects as long as the config is the same one, so that plans made from them can be remembered. */
function settingsOf(config: ConfigFile) {
  return () => {
    const { rules, worker } = config.current();
    return { rules, ...worker };
  };
}
