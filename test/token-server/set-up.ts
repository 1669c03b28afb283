// What the tests of this folder start with: an issuer, its CA in a file, and a verifier that trusts it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isProblem } from '../../src/problem.ts';
import type { Problem } from '../../src/problem.ts';
import { SecretText } from '../../src/secret-text.ts';
import type { TrustedIssuer } from '../../src/token-server/trusted-issuer.ts';
import type { TokenVerifier, VerifiedToken } from '../../src/token-server/verify-token.ts';
import { createTokenVerifier } from '../../src/token-server/verify-token.ts';
import type { FakeIssuer } from '../fakes/fake-issuer.ts';
import { createFakeIssuer } from '../fakes/fake-issuer.ts';
import type { HandClock } from '../fakes/hand-clock.ts';
import { createHandClock } from '../fakes/hand-clock.ts';

/** When the clock of every test stands: a Saturday morning. */
export const START = Date.UTC(2026, 10, 21, 7);

export interface Folder extends Disposable {
  write(name: string, text: string): string;
}

export function createFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'keyless-pull-'));
  return {
    write(name, text) {
      writeFileSync(join(path, name), text);
      return join(path, name);
    },
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
  };
}

export interface TrustSetUp extends AsyncDisposable {
  readonly clock: HandClock;
  readonly issuer: FakeIssuer;
  readonly folder: Folder;
  readonly trusted: TrustedIssuer;
  readonly verifier: TokenVerifier;
  verify(token: string | Promise<string>, signal?: AbortSignal): Promise<VerifiedToken>;
}

export async function setUpTrust(
  wishes: { trusted?: Partial<TrustedIssuer>; algorithm?: 'RS256' | 'ES256' } = {},
): Promise<TrustSetUp> {
  const clock = createHandClock(START);
  const issuer = await createFakeIssuer({ clock, ...(wishes.algorithm && { algorithm: wishes.algorithm }) });
  const folder = createFolder();
  const trusted: TrustedIssuer = {
    issuer: issuer.url,
    audience: issuer.audience,
    check: 'keys',
    keysHosts: [],
    certificateAuthorityFile: folder.write('ca.pem', issuer.certificateAuthorityPem),
    ...wishes.trusted,
  };
  const verifier = createTokenVerifier({ issuers: [trusted], clock });
  return {
    clock,
    issuer,
    folder,
    trusted,
    verifier,
    verify: async (token, signal = new AbortController().signal) =>
      await verifier.verify(new SecretText(await token), signal),
    async [Symbol.asyncDispose]() {
      await issuer[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

/** The Problem that a promise rejects with; a test fails when it does not. */
export async function problemOf(promise: Promise<unknown>): Promise<Problem> {
  const error: unknown = await promise.then(
    () => new Error('it was not refused'),
    (reason: unknown) => reason,
  );
  if (!isProblem(error)) throw error;
  return error;
}

/** The Problem that the one issuer of a verifier has when it is asked before any login. */
export async function problemAtStart(verifier: TokenVerifier): Promise<Problem> {
  const [failure] = await verifier.prepare();
  if (!isProblem(failure?.error)) throw failure?.error ?? new Error('nothing went wrong');
  return failure.error;
}

/** Waits until something that goes on elsewhere (a real socket) has happened. */
export async function until(happened: () => boolean): Promise<void> {
  while (!happened()) await new Promise((resolve) => setImmediate(resolve));
}
