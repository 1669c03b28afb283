// Where the certificate comes from that we serve with: files, a Secret that somebody else fills, or our own authority.
import { Problem } from '../problem.ts';
import { followCertificate, createCertificate, type Certificate } from '../server/certificate.ts';
import type { KubeCluster } from '../cluster/kube-cluster.ts';
import type { Parts } from './serve.ts';

export interface CertificateOptions {
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsSecret?: string;
  readonly service?: string;
  readonly webhookConfiguration?: string;
  readonly caBundle?: 'heal' | 'leave';
}

/** `own`: the worker fills the Secret and keeps the caBundle; `others`: somebody else does both. */
export type CertificateChoice =
  | { readonly kind: 'files'; readonly certificateFile: string; readonly keyFile: string }
  | {
      readonly kind: 'own' | 'others';
      readonly secretName: string;
      readonly webhookConfiguration: string;
      readonly names: readonly string[];
    }
  | { readonly kind: 'none' };

const DEFAULT_SECRET = 'keyless-pull-tls';
/** Of our Service and of both webhook configurations, as the manifests have them. */
const OUR_NAME = 'keyless-pull';
/** Kubernetes brings a changed Secret to a volume within a minute or two; asked for, it is here in seconds. */
const POLL_MS = 2_000;
const CALL_MS = 4_000;

/** @throws Problem usage, for half a pair of files */
export function certificateChoice(
  options: CertificateOptions,
  { isInCluster, namespace }: Pick<KubeCluster, 'isInCluster' | 'namespace'>,
): CertificateChoice {
  const { tlsCert, tlsKey, tlsSecret, service = OUR_NAME, webhookConfiguration = OUR_NAME } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    throw new Problem('usage', 'a certificate and its key come together: pass --tls-cert and --tls-key');
  if (tlsCert !== undefined && tlsKey !== undefined)
    return { kind: 'files', certificateFile: tlsCert, keyFile: tlsKey };
  if (tlsSecret === undefined && !isInCluster) return { kind: 'none' };
  const names = isHostOrAddress(service)
    ? [service]
    : [`${service}.${namespace}.svc`, `${service}.${namespace}.svc.cluster.local`];
  return {
    kind: options.caBundle === 'leave' ? 'others' : 'own',
    secretName: tlsSecret ?? DEFAULT_SECRET,
    webhookConfiguration,
    names,
  };
}

/** Webhooks that are reached by URL, thus not by the name of a Service. */
function isHostOrAddress(service: string): boolean {
  return /[.:]/.test(service);
}

/** The pair that is served; one that a Secret does not hold yet is waited for, until the signal aborts. */
export async function openCertificate(
  { clock, log, cluster }: Pick<Parts, 'clock' | 'log' | 'cluster'>,
  choice: CertificateChoice,
  told: { readonly signal: AbortSignal; onWait(problem: Problem): void; onLook(isTaken: boolean): void },
): Promise<Certificate> {
  const tools = { clock, log, onLook: told.onLook };
  if (choice.kind === 'none') {
    throw new Problem(
      'usage',
      'the webhook speaks HTTPS only: pass --tls-cert and --tls-key, or --tls-secret, or run --role worker',
    );
  }
  if (choice.kind === 'files') return createCertificate(tools, choice);
  const { secretName } = choice;
  const where = `the Secret ${cluster.namespace}/${secretName}`;
  return followCertificate(tools, {
    certificateFile: `tls.crt of ${where}`,
    keyFile: `tls.key of ${where}`,
    async read() {
      const found = await cluster.servingSecret(secretName, { signal: clock.deadline(CALL_MS) });
      if (found.certificate !== '') return found;
      throw new Problem(
        'certificate-missing',
        choice.kind === 'own'
          ? `${where} is still empty: a leading worker fills it`
          : `${where} is still empty: nobody has put a certificate there`,
      );
    },
    pollMs: POLL_MS,
    wait: told,
  });
}
