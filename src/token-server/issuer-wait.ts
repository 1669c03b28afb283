// Asks issuers that could not be asked at the start until they can: a server that is not ready gets no login that would.
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { isProblem } from '../problem.ts';
import { RETRY_MS } from './issuer-keys.ts';
import type { IssuerFailure, TokenVerifier } from './verify-token.ts';

export interface IssuerWait extends Disposable {
  /** Whether the issuer could be asked once; outages after that are its logins' business. */
  isReady(issuer: string): boolean;
  /** Why nobody can log in yet. Undefined once one issuer can be asked: no issuer's bad day is another's. */
  trouble(): string | undefined;
}

/** `failures`: what `verifier.prepare` met. Asks on until disposed. */
export function waitForIssuers(
  issuers: readonly string[],
  failures: readonly IssuerFailure[],
  { verifier, clock, log }: { verifier: Pick<TokenVerifier, 'prepare'>; clock: Clock; log: Log },
): IssuerWait {
  let waiting = new Map(failures.map(({ issuer, error }) => [issuer, error]));
  const stop = new AbortController();

  async function ask(): Promise<void> {
    while (waiting.size > 0) {
      try {
        await clock.sleep(RETRY_MS, stop.signal);
      } catch {
        return;
      }
      const asked = [...waiting.keys()];
      waiting = new Map((await verifier.prepare(asked)).map(({ issuer, error }) => [issuer, error]));
      for (const issuer of asked)
        if (!waiting.has(issuer)) log.info({ issuer }, 'the issuer can be asked now');
    }
  }
  void ask();

  return {
    isReady: (issuer) => !waiting.has(issuer),
    trouble() {
      if (issuers.some((issuer) => !waiting.has(issuer))) return undefined;
      const reasons = [...waiting].map(
        ([issuer, error]) => `${issuer}: ${isProblem(error) ? error.message : 'something went wrong here'}`,
      );
      return `no issuer can be asked yet: ${reasons.join('; ')}`;
    },
    // Not waited for: an issuer that does not answer must not hold up the end.
    [Symbol.dispose]: () => stop.abort(),
  };
}
