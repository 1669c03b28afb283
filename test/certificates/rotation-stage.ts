// Leaders and replicas around one fake store, by a clock that the test moves; and what must hold at every moment.
import { X509Certificate } from 'node:crypto';
import { createAuthority } from '../../src/certificates/authority.ts';
import { createRotation } from '../../src/certificates/rotation.ts';
import { createLog } from '../../src/log.ts';
import { Problem } from '../../src/problem.ts';
import { followCertificate, type Certificate } from '../../src/server/certificate.ts';
import { createHandClock } from '../fakes/hand-clock.ts';
import { createFakeStore } from './fake-store.ts';

export const NAMES = ['keyless-pull.keyless-pull.svc', 'keyless-pull.keyless-pull.svc.cluster.local'];
/** How long an API server may go on with a caBundle that has been replaced. */
const API_SERVER_LAG_MS = 2_500;
const POLL_MS = 5_000;

export interface Leading {
  is: boolean;
}

export interface LogLine {
  readonly message: string;
  readonly reason?: string;
  readonly error?: { readonly message: string; readonly code?: string };
}

export function createStage() {
  const store = createFakeStore();
  const clock = createHandClock();
  const stop = new AbortController();
  const lines: LogLine[] = [];
  const log = createLog('info', { write: (line) => void lines.push(JSON.parse(line)) });
  const replicas: Certificate[] = [];
  let making = 0;
  /** Bundles that some API server may still go by, and until when. */
  const before: { bundle: string; until: number }[] = [];
  let shown: string[] = [];
  const faults: string[] = [];

  /** Keys are made in real time, which the clock of the test does not move. */
  async function busy<Made>(work: Promise<Made>): Promise<Made> {
    making++;
    try {
      return await work;
    } finally {
      making--;
    }
  }

  /** What every API server may hold now, replicas must be able to prove themselves to. */
  function check(): void {
    const now = store.trusts.flatMap(({ caBundles }) => caBundles);
    for (const bundle of shown)
      if (!now.includes(bundle)) before.push({ bundle, until: clock.monotonic() + API_SERVER_LAG_MS });
    shown = now;
    const alive = before.filter(({ until }) => until > clock.monotonic()).map(({ bundle }) => bundle);
    for (const replica of replicas) {
      const { certificate } = replica.current();
      for (const bundle of [...now, ...alive])
        if (!isProven(certificate, bundle))
          faults.push(`at ${clock.monotonic()} ms a certificate is not trusted`);
    }
  }
  store.afterWrite = check;

  return {
    store,
    clock,
    lines,
    faults,
    messages: () => lines.map(({ message }) => message),
    /** One that works while `leading.is`. */
    lead(name: string, leading: Leading = { is: true }): Leading {
      const rotation = createRotation({
        store: store.client(name),
        clock,
        log,
        secretName: 'keyless-pull-tls',
        webhookConfiguration: 'keyless-pull',
        names: NAMES,
        async createAuthority(...wish) {
          const authority = await busy(createAuthority(...wish));
          return { ...authority, issue: (hosts) => busy(authority.issue(hosts)) };
        },
        isLeading: () => leading.is,
        writing: (ms) => {
          const mayStill = () => {
            if (!leading.is) throw new Problem('lease-lost', 'another worker leads');
          };
          mayStill();
          return { signal: clock.deadline(ms), mayStill };
        },
      });
      void rotation.run(stop.signal);
      return leading;
    },
    /** One that serves; there must be a pair. */
    async replica(): Promise<Certificate> {
      const client = store.client('replica');
      const certificate = await followCertificate(
        { clock, log: createLog('silent') },
        {
          certificateFile: 'tls.crt',
          keyFile: 'tls.key',
          read: () => client.servingSecret('', { signal: clock.deadline(1_000) }),
          pollMs: POLL_MS,
        },
      );
      certificate.onChange(check);
      replicas.push(certificate);
      return certificate;
    },
    /** Moves the clock, and lets keys be made in their own time. */
    async pass(ms: number): Promise<void> {
      for (const end = clock.monotonic() + ms; clock.monotonic() < end;) {
        await clock.advance(Math.min(250, end - clock.monotonic()));
        do await new Promise((resolve) => setImmediate(resolve));
        while (making > 0);
        await clock.advance(0);
        check();
      }
    },
    async [Symbol.asyncDispose]() {
      // Not waited for: the dead among them never end.
      stop.abort();
      for (const replica of replicas) await replica[Symbol.asyncDispose]();
    },
  };
}

const proofs = new Map<string, boolean>();

export function isProven(certificate: string, bundle: string): boolean {
  const key = `${certificate} by ${bundle}`;
  let proof = proofs.get(key);
  if (proof === undefined) {
    const leaf = new X509Certificate(certificate);
    proof = authorities(bundle).some((one) => leaf.checkIssued(one) && leaf.verify(one.publicKey));
    proofs.set(key, proof);
  }
  return proof;
}

export function authorities(bundle: string): X509Certificate[] {
  const found = bundle.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];
  return found.map((pem) => new X509Certificate(pem));
}
