// The port to what the API server holds of our certificate: one Secret, and the caBundle of our webhooks. Implementation:
// kube-certificates.ts. Every call throws a Problem and nothing else.
import type { SecretText } from '../secret-text.ts';
import type { CallOptions } from './cluster.ts';

/** PEM texts, empty where the Secret has none. */
export interface ServingTexts {
  /** `ca.crt`: every authority that a certificate of ours may come from. */
  readonly caBundle: string;
  /** `tls.crt` */
  readonly certificate: string;
  /** `tls.key` */
  readonly key: SecretText;
}

export interface ServingSecret extends ServingTexts {
  /** Writes the Secret as it was read, but for this. @throws Problem cluster-conflict: somebody else wrote since */
  change(texts: Partial<ServingTexts>, options: CallOptions): Promise<ServingSecret>;
}

/** One of our webhook configurations, as it was read. */
export interface WebhookTrust {
  /** The caBundle of each webhook of ours, PEM; empty where there is none. */
  readonly caBundles: readonly string[];
  /** Writes it as it was read, but for the caBundle of our own webhooks. @throws Problem cluster-conflict */
  change(caBundle: string, options: CallOptions): Promise<void>;
}

export interface CertificateStore {
  /** In our own namespace. @throws Problem certificate-missing */
  servingSecret(name: string, options: CallOptions): Promise<ServingSecret>;
  /** The mutating and the validating configuration of that name; one that does not exist is left out. */
  webhookTrusts(name: string, options: CallOptions): Promise<readonly WebhookTrust[]>;
}
