// The serving certificate and its key: read from two files or whatever else holds them, read again while the program runs,
// never exchanged for a pair that does not fit.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Problem } from '../problem.ts';
import { SecretText } from '../secret-text.ts';
import { errnoText } from '../text-file.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';

/** PEM texts; the certificate's file may go on with its intermediates. */
export interface CertificatePair {
  readonly certificate: string;
  readonly key: SecretText;
  /** Epoch milliseconds. */
  readonly expiresAt: number;
}

export interface Certificate extends AsyncDisposable {
  readonly current: () => CertificatePair;
  /** Called with each new pair; returns what ends the subscription. */
  onChange(listener: (pair: CertificatePair) => void): () => void;
  /** Looks at the files now. Resolves to true if a new pair was taken. */
  reload(): Promise<boolean>;
}

export interface CertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** Where the pair is; `certificateFile` and `keyFile` are what its halves are called in sentences. */
export interface CertificateSource extends CertificateFiles {
  /** @throws Problem */
  read(): Promise<{ readonly certificate: string; readonly key: SecretText }>;
  readonly pollMs: number;
  /** Waits for the first pair, once a second, until the signal aborts; `onWait` is told what is wrong. Absent: it must be there. */
  readonly wait?: { readonly signal: AbortSignal; onWait(problem: Problem): void };
}

export interface CertificateTools {
  readonly clock: Clock;
  readonly log: Log;
  /** Told after each look whether what is there is what is served. */
  onLook?(isTaken: boolean): void;
}

/** Kubernetes brings a changed Secret to a volume within a minute or two; ten seconds more are not felt. */
const POLL_MS = 10_000;
const FIRST_PAIR_MS = 1_000;

/**
 * Reads the pair from files, and looks at them every 10 s until disposed. Polled and not watched: a mounted Secret changes by
 * renamed links, which watches miss. @throws Problem `certificate-unreadable`, only for the first pair
 */
export function createCertificate(tools: CertificateTools, files: CertificateFiles): Promise<Certificate> {
  const { certificateFile, keyFile } = files;
  // One after the other: of two that are missing always the same is named.
  const read = async () => ({
    certificate: await readText(certificateFile),
    key: new SecretText(await readText(keyFile)),
  });
  return followCertificate(tools, { certificateFile, keyFile, read, pollMs: POLL_MS });
}

/**
 * The same from any source. A later pair that cannot be used, or that has ended while the one in use has not, leaves the old one
 * in place, with one warning. @throws Problem only for the first pair; what `wait.signal` aborted with
 */
export async function followCertificate(
  { clock, log, onLook }: CertificateTools,
  source: CertificateSource,
): Promise<Certificate> {
  const listeners = new Set<(pair: CertificatePair) => void>();
  const stop = new AbortController();
  let current = await firstPair(source, clock);
  let lastFault = '';
  onLook?.(true);

  async function reload(): Promise<boolean> {
    try {
      const pair = await readPair(source);
      const isOver = pair.expiresAt <= clock.now() && current.expiresAt > clock.now();
      if (isOver) throw unreadable(`the certificate in ${source.certificateFile} has expired`);
      lastFault = '';
      onLook?.(true);
      if (pair.certificate === current.certificate && pair.key.reveal() === current.key.reveal())
        return false;
      current = pair;
      for (const listener of listeners) listener(pair);
      log.info({ expiresAt: new Date(pair.expiresAt).toISOString() }, 'certificate reloaded');
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      onLook?.(false);
      if (error.message !== lastFault) log.warn({ error }, 'certificate not reloaded');
      lastFault = error.message;
      return false;
    }
  }

  async function poll(): Promise<void> {
    for (;;) {
      try {
        await clock.sleep(source.pollMs, stop.signal);
      } catch {
        return;
      }
      await reload();
    }
  }
  const polling = poll();

  return {
    current: () => current,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    reload,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await polling;
    },
  };
}

async function firstPair(source: CertificateSource, clock: Clock): Promise<CertificatePair> {
  for (;;) {
    try {
      return await readPair(source);
    } catch (error) {
      if (!source.wait || !(error instanceof Problem)) throw error;
      source.wait.onWait(error);
      await clock.sleep(FIRST_PAIR_MS, source.wait.signal);
    }
  }
}

async function readPair(source: CertificateSource): Promise<CertificatePair> {
  const { certificateFile, keyFile } = source;
  const { certificate, key } = await source.read();
  const { parsed, privateKey } = parsePair(certificate, key.reveal(), source);
  if (!parsed.checkPrivateKey(privateKey)) {
    throw unreadable(`${keyFile} is not the key of the certificate in ${certificateFile}`);
  }
  return { certificate, key, expiresAt: Date.parse(parsed.validTo) };
}

function parsePair(certificate: string, key: string, files: CertificateFiles) {
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(certificate);
  } catch (cause) {
    throw unreadable(`${files.certificateFile} holds no certificate in PEM form`, cause);
  }
  try {
    return { parsed, privateKey: createPrivateKey(key) };
  } catch (cause) {
    throw unreadable(`${files.keyFile} holds no private key in PEM form, or one with a passphrase`, cause);
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw unreadable(`cannot read ${path}: ${errnoText(cause)}`, cause);
  }
}

function unreadable(message: string, cause?: unknown): Problem {
  return new Problem('certificate-unreadable', message, { cause });
}
