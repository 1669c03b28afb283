// Our own authority: renews the pair that every replica serves with, and keeps the caBundle of our webhooks true. One Secret
// holds it all; the authority's key lives for as long as it takes to sign one certificate.
import { isProblem } from '../problem.ts';
import {
  authoritiesIn,
  BACKDATED_MS,
  bundleOf,
  extendedBundle,
  LIFE_MS,
  renewalReason,
  signerOf,
  type RenewalReason,
} from './serving-pair.ts';
import type { CertificateStore, ServingSecret, WebhookTrust } from '../cluster/certificate-store.ts';
import type { CallOptions } from '../cluster/cluster.ts';
import type { Authority, Validity } from './authority.ts';
import type { SecretText } from '../secret-text.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';

/** A caBundle that somebody has wrecked fails every review: looked at this often, it is healed within 5 s. */
const LOOK_MS = 2_000;
/** To see in the API server what was just written. */
const LOOK_AGAIN_MS = 250;
/** From a webhook configuration to the connections of every API server: their watches need a moment. */
const SETTLE_MS = 3_000;
/** An authority that has left the Secret stays in the caBundle until each replica has seen the new pair, many times over. */
const LINGER_MS = 60_000;
const CALL_MS = 5_000;

export interface RotationTools {
  readonly store: CertificateStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly secretName: string;
  readonly webhookConfiguration: string;
  /** What the API server calls us: host names of the Service, or addresses. */
  readonly names: readonly string[];
  /** authority.ts, which who makes no certificate need not load. */
  createAuthority(commonName: string, validity: Validity): Promise<Authority>;
  isLeading(): boolean;
  /** For one write of at most `ms`. @throws Problem lease-lost */
  writing(ms: number): CallOptions;
}

interface NewPair {
  readonly authority: string;
  readonly certificate: string;
  readonly key: SecretText;
  readonly reason: RenewalReason;
  /** Since when every caBundle holds its authority; undefined until then. */
  shownSince: number | undefined;
}

/**
 * Three steps, each of which may be the last of a leader's life; the next one looks and begins anew. The new authority goes into
 * the Secret's bundle and every caBundle. When the API server has shown that for a while, the pair that it signed goes into the
 * Secret. The old authority leaves the bundle when it ends, and with it every pair it has signed.
 */
export function createRotation(tools: RotationTools) {
  const { store, clock, log, secretName, webhookConfiguration, names } = tools;
  let pending: NewPair | undefined;
  /** The Secret's authorities, and when each was last seen there. */
  const remembered = new Map<string, number>();
  let lastFault = '';

  async function makePair(reason: RenewalReason): Promise<NewPair> {
    const now = clock.now();
    const validity = { notBefore: now - BACKDATED_MS, notAfter: now + LIFE_MS };
    const authority = await tools.createAuthority(`keyless-pull ${new Date(now).toISOString()}`, validity);
    return {
      ...(await authority.issue(names)),
      authority: authority.certificate,
      reason,
      shownSince: undefined,
    };
  }

  /** One look, and what it asks for. */
  async function step(): Promise<void> {
    const reading = () => ({ signal: clock.deadline(CALL_MS) });
    // In this order: a writer begins with the Secret. What we see in a caBundle is then in our Secret too, and where we see less
    // than there is by now, our write meets a conflict.
    const trusts = await store.webhookTrusts(webhookConfiguration, reading());
    let secret = await store.servingSecret(secretName, reading());
    const reason = renewalReason(secret, names, clock.now());
    if (reason === undefined) pending = undefined;
    else pending ??= await makePair(reason);
    adoptSigners(secret, trusts);
    if (pending) secret = await announce(secret, pending);
    const isShown = await heal(trusts, secret);
    if (!pending) return;
    if (!isShown) pending.shownSince = undefined;
    else if (clock.monotonic() - (pending.shownSince ??= clock.monotonic()) >= SETTLE_MS)
      await publish(secret, pending);
  }

  /** What is served now must be trusted until our next pair has taken its place; where nobody can tell by what, by all that is. */
  function adoptSigners({ certificate }: ServingSecret, trusts: readonly WebhookTrust[]): void {
    if (!pending) return;
    const shown = trusts.flatMap(({ caBundles }) => caBundles.flatMap(authoritiesIn));
    const signer = signerOf(certificate, shown);
    for (const pem of signer === undefined ? shown : [signer]) remembered.set(pem, clock.monotonic());
  }

  async function announce(secret: ServingSecret, { authority, reason }: NewPair): Promise<ServingSecret> {
    if (authoritiesIn(secret.caBundle).includes(authority)) return secret;
    log.info({ reason }, 'certificate is renewed');
    const caBundle = extendedBundle(secret, authority, clock.now());
    return secret.change({ caBundle }, tools.writing(CALL_MS));
  }

  /** Resolves to true if nothing was left to write. */
  async function heal(trusts: readonly WebhookTrust[], secret: ServingSecret): Promise<boolean> {
    const now = clock.monotonic();
    for (const pem of authoritiesIn(secret.caBundle)) remembered.set(pem, now);
    for (const [pem, seen] of remembered) if (now - seen > LINGER_MS) remembered.delete(pem);
    const wanted = bundleOf(remembered.keys());
    const wrong = trusts.filter(({ caBundles }) => caBundles.some((found) => found !== wanted));
    for (const trust of wrong) await trust.change(wanted, tools.writing(CALL_MS));
    if (wrong.length > 0) log.info({ configurations: wrong.length }, 'caBundle written');
    return wrong.length === 0;
  }

  async function publish(secret: ServingSecret, { certificate, key, reason }: NewPair): Promise<void> {
    await secret.change({ certificate, key }, tools.writing(CALL_MS));
    pending = undefined;
    log.info({ reason }, 'certificate renewed');
  }

  async function look(): Promise<void> {
    try {
      await step();
      lastFault = '';
    } catch (error) {
      // Somebody else wrote meanwhile, or leads: the next look sees what.
      if (isProblem(error, 'cluster-conflict', 'lease-lost')) return;
      const fault = error instanceof Error ? error.message : 'unknown';
      if (fault !== lastFault) log.warn({ error }, 'certificate and caBundle not looked after');
      lastFault = fault;
    }
  }

  function pause(): number {
    if (!pending || lastFault !== '') return LOOK_MS;
    if (pending.shownSince === undefined) return LOOK_AGAIN_MS;
    return Math.max(0, Math.min(LOOK_MS, pending.shownSince + SETTLE_MS - clock.monotonic()));
  }

  return {
    /** Works while it leads, until the signal aborts. Never rejects. */
    async run(signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        if (tools.isLeading()) await look();
        else {
          pending = undefined;
          remembered.clear();
        }
        await clock.sleep(pause(), signal).catch(() => undefined);
      }
    },
  };
}
