// The keys that sign registry tokens, over time: files read again while the program runs, and whose turn it is.
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { Problem, isProblem } from '../problem.ts';
import { SecretText } from '../secret-text.ts';
import { readText } from '../text-file.ts';
import type { SigningKey } from './signing-key.ts';
import { readSigningKey } from './signing-key.ts';

export interface SigningKeyFiles {
  readonly keyFile: string;
  readonly certificateFile: string;
}

export interface SigningKeys extends AsyncDisposable {
  /** The key whose turn it is. @throws Problem `not-ready` when no certificate is valid now */
  current(): SigningKey;
  /** Why nothing can be signed now; undefined while it can. */
  trouble(): string | undefined;
  /** When the last of all certificates ends, epoch milliseconds. A key that waits for its turn counts: whoever has one has renewed. */
  lastEnd(): number;
}

/** As for the serving certificate: a mounted Secret changes within a minute or two, ten seconds more are not felt. */
const LOOK_MS = 10_000;

/** Registries allow clocks to differ by a minute for a token's times, but not at all for a certificate's. */
const SKEW_MS = 60_000;

const DAY_MS = 86_400_000;

/** Certificates are renewed weeks ahead; one that comes so near was forgotten. */
const WARNING_MS = 14 * DAY_MS;

const EXPIRED = 'the certificate that registry tokens are signed with has expired';

interface Entry {
  readonly files: SigningKeyFiles;
  key: SigningKey;
  /** The one before it in the same files, which goes on until registries are sure to take the new one. */
  replaced: SigningKey | undefined;
  lastFault: string;
}

/**
 * The first of `files` signs whose certificate has been valid for a minute, and stays so for longer than a token lives;
 * where there is none, the one that is valid now for the longest. A key that was replaced in its files goes on signing
 * until the new one's first minute is over. Looks at the files every 10 s until disposed; what cannot be used leaves
 * the old key in place, with one warning.
 * @throws Problem `file-unreadable` or `certificate-unreadable`, when a pair cannot be used at the start or none is
 * valid then
 */
export function createSigningKeys(
  files: readonly SigningKeyFiles[],
  { clock, log, tokenSeconds }: { clock: Clock; log: Log; tokenSeconds: number },
): SigningKeys {
  const entries = files.map((pair): Entry => ({
    files: pair,
    key: readPair(pair),
    replaced: undefined,
    lastFault: '',
  }));
  let signing = pick();
  if (!signing) {
    const message = 'no signing key can be used: no certificate of signing.keys is valid now';
    throw new Problem('certificate-unreadable', message);
  }
  let warnedAt = -Infinity;
  warnOfTheEnd();

  function pick(): SigningKey | undefined {
    const now = clock.now();
    const candidates = entries.flatMap(({ key, replaced }) => (replaced ? [key, replaced] : [key]));
    const isSettled = ({ validFrom, expiresAt }: SigningKey) =>
      validFrom + SKEW_MS <= now && now + tokenSeconds * 1000 + SKEW_MS < expiresAt;
    const valid = candidates.filter(({ validFrom, expiresAt }) => validFrom <= now && now < expiresAt);
    return candidates.find(isSettled) ?? valid.sort((one, other) => other.expiresAt - one.expiresAt)[0];
  }

  function current(): SigningKey {
    const next = pick();
    if (!next) throw new Problem('not-ready', EXPIRED);
    if (next.keyId !== signing?.keyId)
      log.info(
        { keyId: next.keyId, expiresAt: isoTime(next.expiresAt) },
        'another key signs registry tokens',
      );
    signing = next;
    return next;
  }

  /** Looks at the files now. */
  function reload(): void {
    for (const entry of entries) {
      // Its time is over for good: it may have been replaced because it was stolen.
      if (entry.key.validFrom + SKEW_MS <= clock.now()) entry.replaced = undefined;
      try {
        const key = readPair(entry.files);
        entry.lastFault = '';
        if (key.certificates.join() === entry.key.certificates.join()) continue;
        entry.replaced = entry.key;
        entry.key = key;
        log.info(
          { file: entry.files.certificateFile, keyId: key.keyId, expiresAt: isoTime(key.expiresAt) },
          'signing key reloaded',
        );
      } catch (error) {
        if (!isProblem(error)) throw error;
        if (error.message !== entry.lastFault)
          log.warn({ error }, 'signing key not reloaded, the old one stays');
        entry.lastFault = error.message;
      }
    }
    warnOfTheEnd();
  }

  function lastEnd(): number {
    return Math.max(...entries.map(({ key }) => key.expiresAt));
  }

  /** Once a day. */
  function warnOfTheEnd(): void {
    const now = clock.now();
    const end = lastEnd();
    if (end - now >= WARNING_MS || now - warnedAt < DAY_MS) return;
    warnedAt = now;
    log.warn(
      { expiresAt: isoTime(end) },
      end > now ? 'the signing certificate expires soon' : 'the signing certificate has expired',
    );
  }

  const stop = new AbortController();
  async function look(): Promise<void> {
    for (;;) {
      try {
        await clock.sleep(LOOK_MS, stop.signal);
      } catch {
        return;
      }
      reload();
    }
  }
  const looking = look();

  return {
    current,
    trouble: () => (pick() ? undefined : EXPIRED),
    lastEnd,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await looking;
    },
  };
}

/** @throws Problem `file-unreadable` or `certificate-unreadable` */
export function readPair({ keyFile, certificateFile }: SigningKeyFiles): SigningKey {
  return readSigningKey(new SecretText(readText(keyFile)), readText(certificateFile));
}

function isoTime(at: number): string {
  return new Date(at).toISOString();
}
