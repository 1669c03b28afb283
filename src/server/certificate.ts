// The serving certificate and its key: read from two files, read again while the program runs, never exchanged for a
// pair that does not fit.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Problem } from '../problem.ts';
import { SecretText } from '../secret-text.ts';
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

/** Kubernetes brings a changed Secret to a volume within a minute or two; ten seconds more are not felt. */
const POLL_MS = 10_000;

/**
 * Reads the pair, and looks at the files every 10 s until disposed. A later pair that cannot be used leaves the old one
 * in place, with one warning. Polled and not watched: a mounted Secret changes by renamed links, which watches miss.
 * @throws Problem `certificate-unreadable`, only for the first pair
 */
export async function createCertificate(
  { clock, log }: { readonly clock: Clock; readonly log: Log },
  files: CertificateFiles,
): Promise<Certificate> {
  const listeners = new Set<(pair: CertificatePair) => void>();
  const stop = new AbortController();
  let current = await readPair(files);
  let lastFault = '';

  async function reload(): Promise<boolean> {
    try {
      const pair = await readPair(files);
      lastFault = '';
      if (pair.certificate === current.certificate && pair.key.reveal() === current.key.reveal())
        return false;
      current = pair;
      for (const listener of listeners) listener(pair);
      log.info({ expiresAt: new Date(pair.expiresAt).toISOString() }, 'certificate reloaded');
      return true;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.message !== lastFault) log.warn({ error }, 'certificate not reloaded');
      lastFault = error.message;
      return false;
    }
  }

  async function poll(): Promise<void> {
    for (;;) {
      try {
        await clock.sleep(POLL_MS, stop.signal);
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

async function readPair({ certificateFile, keyFile }: CertificateFiles): Promise<CertificatePair> {
  const [certificate, key] = await Promise.all([readText(certificateFile), readText(keyFile)]);
  const { parsed, privateKey } = parsePair(certificate, key, { certificateFile, keyFile });
  if (!parsed.checkPrivateKey(privateKey)) {
    throw unreadable(`${keyFile} is not the key of the certificate in ${certificateFile}`);
  }
  return { certificate, key: new SecretText(key), expiresAt: Date.parse(parsed.validTo) };
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
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    const reason =
      code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'permission denied' : String(code);
    throw unreadable(`cannot read ${path}: ${reason}`, cause);
  }
}

function unreadable(message: string, cause?: unknown): Problem {
  return new Problem('certificate-unreadable', message, { cause });
}
