// Workers that are killed: three of the real program, whose every call to the API server and to the token service goes
// through a proxy that can hold it. One leads, the next ones have started already.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt, type JWK } from 'jose';
import { stringify } from 'yaml';
import { systemClock } from '../../src/clock.ts';
import { secretNameFor } from '../../src/core/pull-secret.ts';
import { LEASE_NAME } from '../../src/core/vocabulary.ts';
import { serviceAccountToken, writeKubeconfig } from '../../tools/api-client.ts';
import { createCertificateAuthority } from '../../tools/certificates.ts';
import { OWN_NAMESPACE, WORKER_ACCOUNT } from '../../tools/install.ts';
import { waitUntil } from '../../tools/processes.ts';
import { AUDIENCE, HOST, openArena, type Arena, type Program } from '../cluster/arena.ts';
import { createHoldingProxy, type Hold, type PassingCall } from '../cluster/holding-proxy.ts';
import { createTokenExchangeDouble } from '../fakes/token-exchange-double.ts';
import type { Trust } from '../fakes/token-judge.ts';

export const NAMESPACE = 'mortal';
/** The calls of an issue, in their order; a renewal is `token` to `status`. */
export const STEPS = ['record', 'secret', 'token', 'exchange', 'fill', 'status', 'gate'] as const;
export type Step = (typeof STEPS)[number];

/** A login that the token service gave out, and for which ServiceAccount token. */
export interface Issued {
  readonly account: string;
  readonly tokenId: string;
  /** Epoch milliseconds. */
  readonly expiresAt: number;
}

export interface MortalWorkers extends AsyncDisposable {
  readonly arena: Arena;
  readonly programs: readonly Program[];
  /** By password. */
  readonly issued: ReadonlyMap<string, Issued>;
  /** ServiceAccount tokens that the API server has made for that account. */
  minted(account: string): number;
  accepts(password: string): boolean;
  /** Holds the first such call of that account, or of any; resolves to whose it was. */
  hold(step: Step, when: Hold['when'], account?: string): Promise<string>;
  /**
   * Kills the one that leads, and starts another one for the next time. `leaveLease`: the next one waits until it has
   * run out; else it is ended, as its running out would.
   */
  kill(leaveLease: boolean): Promise<void>;
  /** Resolves when one leads. */
  leading(): Promise<Program>;
}

const STANDING_BY = 2;
/** The registry's token lives so long: it is renewed after 67 to 75 s. */
const LIFE_MS = 150_000;

export async function openMortalWorkers(accounts: readonly string[]): Promise<MortalWorkers> {
  await using opened = new AsyncDisposableStack();
  const arena = opened.use(await openArena());
  const { admin, folder, url, certificateAuthorityFile } = arena.controlPlane;
  const trust = await trustOf(
    arena,
    accounts.map((account) => `system:serviceaccount:${NAMESPACE}:${account}`),
  );
  const double = opened.use(await createTokenExchangeDouble({ clock: systemClock, trust }));
  const authority = await createCertificateAuthority('holding proxies');
  const pair = await authority.issue(['127.0.0.1']);
  const issued = new Map<string, Issued>();
  const minted = new Map<string, number>();

  const apiServer = opened.use(
    await createHoldingProxy({
      target: url,
      targetAuthority: readFileSync(certificateAuthorityFile, 'utf8'),
      pair,
      onAnswer(call, status) {
        const known = stepOf(call);
        if (known?.step !== 'token' || status !== 201) return;
        minted.set(known.account, (minted.get(known.account) ?? 0) + 1);
      },
    }),
  );
  const tokenService = opened.use(
    await createHoldingProxy({
      target: double.url,
      targetAuthority: double.certificateAuthorityPem,
      pair,
      onCall: () => {
        double.expiry = systemClock.now() + LIFE_MS;
      },
      onAnswer(call, status, body) {
        if (status !== 200) return;
        const { access_token: password } = JSON.parse(body) as { access_token: string };
        const { jti = '' } = decodeJwt(subjectTokenOf(call));
        const { exp = 0 } = decodeJwt(password);
        issued.set(password, { account: accountOf(call), tokenId: jti, expiresAt: exp * 1000 });
      },
    }),
  );

  const secretNames = new Map(accounts.map((account) => [secretNameFor(account, 'team', '', HOST), account]));
  /** Pods have the names of their accounts. */
  function stepOf({ method, path, query, body }: PassingCall): { step: Step; account: string } | undefined {
    const [, resource = '', name = '', subresource = ''] =
      /^\/apis?\/.+\/namespaces\/mortal\/([a-z]+)(?:\/([^/]+))?(?:\/([a-z]+))?$/.exec(path) ?? [];
    const named = () => (JSON.parse(body) as { metadata: { name: string } }).metadata.name;
    const ofSecret = (step: Step, of: string) => ({ step, account: secretNames.get(of) ?? '' });
    switch (`${method} ${resource}/${subresource}`) {
      case 'POST pullcredentials/':
        return ofSecret('record', named());
      case 'POST secrets/':
        return ofSecret('secret', named());
      case 'POST serviceaccounts/token':
        return { step: 'token', account: name };
      case 'PUT secrets/':
        return query.has('dryRun') ? undefined : ofSecret('fill', name);
      case 'PUT pullcredentials/status':
        return ofSecret('status', name);
      case 'PATCH pods/':
        return { step: 'gate', account: name };
      default:
        return undefined;
    }
  }

  writeFileSync(join(folder, 'double-ca.pem'), authority.certificate);
  const rule = {
    name: 'team',
    hosts: [HOST],
    audience: AUDIENCE,
    exchange: {
      kind: 'token-exchange',
      endpoint: `${tokenService.url}/oauth2/token`,
      certificateAuthorityFile: join(folder, 'double-ca.pem'),
      username: double.username,
    },
  };
  writeFileSync(
    arena.configFile,
    stringify({ apiVersion: 'keyless-pull.dev/v1', kind: 'Config', rules: [rule] }),
  );
  const kubeconfigFile = join(folder, 'through-the-proxy.kubeconfig');
  const token = await serviceAccountToken(arena.controlPlane, OWN_NAMESPACE, WORKER_ACCOUNT);
  const throughProxy = { url: apiServer.url, certificateAuthorityFile: join(folder, 'double-ca.pem') };
  writeKubeconfig({ ...throughProxy, token, namespace: OWN_NAMESPACE }, kubeconfigFile);

  const programs: Program[] = [];
  let living: Program[] = [];
  let starting: Promise<void> = Promise.resolve();
  async function startOne(): Promise<void> {
    const program = await arena.start(`worker-${programs.length}`, 'worker', kubeconfigFile);
    programs.push(program);
    living.push(program);
  }
  async function leading(): Promise<Program> {
    await waitUntil('a worker leads', async () => living.some((program) => program.isLeading()), {
      deadlineMs: 30_000,
    });
    return living.find((program) => program.isLeading()) ?? leading();
  }
  await arena.start('webhook', 'webhook');
  for (let at = 0; at <= STANDING_BY; at++) await startOne();

  const owned = opened.move();
  return {
    arena,
    programs,
    issued,
    minted: (account) => minted.get(account) ?? 0,
    accepts: (password) => double.accepts(double.username, password),
    async hold(step, when, account) {
      if (step === 'exchange') {
        const matches = (call: PassingCall) => account === undefined || accountOf(call) === account;
        return accountOf(await tokenService.hold({ when, matches }));
      }
      const matches = (call: PassingCall) => {
        const known = stepOf(call);
        return known?.step === step && (account === undefined || known.account === account);
      };
      return stepOf(await apiServer.hold({ when, matches }))?.account ?? '';
    },
    async kill(leaveLease) {
      const leader = await leading();
      await starting;
      leader.kill('SIGKILL');
      await leader.ended();
      living = living.filter((program) => program !== leader);
      if (!leaveLease) {
        const lease = `/apis/coordination.k8s.io/v1/namespaces/${OWN_NAMESPACE}/leases/${LEASE_NAME}`;
        const { status } = await admin('PATCH', lease, { spec: { holderIdentity: '' } });
        if (status !== 200) throw new Error(`the Lease could not be ended: ${status}`);
      }
      starting = startOne();
      // Whoever kills next waits for it, and hears of its failure.
      starting.catch(() => undefined);
    },
    leading,
    [Symbol.asyncDispose]: async () => {
      await starting.catch(() => undefined);
      await owned.disposeAsync();
    },
  };
}

function subjectTokenOf({ body }: PassingCall): string {
  return new URLSearchParams(body).get('subject_token') ?? '';
}

function accountOf(call: PassingCall): string {
  return decodeJwt(subjectTokenOf(call)).sub?.split(':').at(-1) ?? '';
}

/** The token service is told the cluster's issuer and keys. */
export async function trustOf(
  arena: Arena,
  subjects: readonly string[],
  audience: string = AUDIENCE,
): Promise<Trust> {
  const { admin } = arena.controlPlane;
  const discovery = await admin<{ issuer: string }>('GET', '/.well-known/openid-configuration');
  const keys = await admin<{ keys: JWK[] }>('GET', '/openid/v1/jwks');
  // Of a fake issuer the judge reads these two alone.
  const issuer = { url: discovery.body.issuer, publishedKeys: keys.body.keys } as Trust['issuer'];
  return { issuer, audience, subjects, clock: systemClock };
}
