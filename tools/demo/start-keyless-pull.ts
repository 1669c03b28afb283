// Installs webhook-config/ as an administrator does, and starts `keyless-pull serve` outside the cluster, as the
// ServiceAccount that those files name.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OWN_NAMESPACE, WORKER_ACCOUNT, installManifests, manifestFiles } from '../install.ts';
import { serviceAccountToken, writeKubeconfig } from '../api-client.ts';
import { freePorts } from '../free-ports.ts';
import { waitUntil } from '../processes.ts';
import { AUDIENCE, LONG_LIFE_SECONDS, serveConfig } from './program-configs.ts';
import { PROJECT } from './shell.ts';
import type { Parts, Stage } from './stage.ts';
import { ask } from './stage.ts';

const READY_DEADLINE_MS = 30_000;

/** As long as the certificates of a run: with --keep it may stay open over a weekend. */
const TOKEN_SECONDS = 7 * 24 * 3600;

const WORKER_KUBECONFIG = 'worker.kubeconfig';

/** Installs and starts; resolves when it is ready. */
export async function startKeylessPull(parts: Parts): Promise<Stage> {
  const { screen, shell, controlPlane, certificateAuthority, run, registry, passwords } = parts;
  const [port = 0, metricsPort = 0] = await freePorts(2);
  const webhookUrl = `https://127.0.0.1:${port}`;

  screen.heading(
    '2  keyless-pull',
    'Installed from the files that a user applies, and started outside the cluster.',
  );
  screen.say(`webhook-config/ has ${manifestFiles().join(', ')}`);
  await screen.check(
    'applied: all but the Deployment and its Service, with the webhooks at the URL of this machine; fences in force',
    () =>
      installManifests(controlPlane, { webhookUrl, caBundle: certificateAuthority, audiences: [AUDIENCE] }),
    () => webhookUrl,
  );
  await shell.kubectl(['get', 'validatingadmissionpolicies', '-o', 'name']);

  const workerToken = await serviceAccountToken(controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT, {
    expirationSeconds: TOKEN_SECONDS,
  });
  passwords.add(workerToken);
  const kubeconfig = join(run.folder, WORKER_KUBECONFIG);
  writeKubeconfig({ ...controlPlane, token: workerToken, namespace: OWN_NAMESPACE }, kubeconfig);
  const configFile = join(run.folder, 'keyless-pull.yaml');
  writeFileSync(configFile, serveConfig(registry.host, LONG_LIFE_SECONDS));

  const serve = await screen.check(
    `keyless-pull serve --role all, as ServiceAccount ${OWN_NAMESPACE}/${WORKER_ACCOUNT}: ready`,
    async () => {
      const serve = run.start('keyless-pull', process.execPath, [
        join(PROJECT, 'src/main.ts'),
        ...['--config', configFile, '--kubeconfig', kubeconfig, '--namespace', OWN_NAMESPACE],
        ...['--tls-cert', parts.serverCertificateFile, '--tls-key', parts.serverKeyFile],
        ...['--host', '127.0.0.1', '--port', String(port), '--metrics-port', String(metricsPort)],
      ]);
      await waitUntil(
        'keyless-pull was ready',
        async () => {
          const { status, text } = await ask(`${webhookUrl}/readyz`, certificateAuthority);
          if (status !== 200) throw new Error(text.trim());
          return true;
        },
        { deadlineMs: READY_DEADLINE_MS, needed: [serve] },
      );
      return serve;
    },
    () => 'watches filled, fences tried',
  );
  return {
    ...parts,
    programs: [...parts.programs, serve],
    webhookUrl,
    metricsUrl: `http://127.0.0.1:${metricsPort}/metrics`,
    configFile,
    workerKubeconfig: WORKER_KUBECONFIG,
    workerToken,
  };
}
