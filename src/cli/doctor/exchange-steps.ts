// The last steps of doctor: the exchange is made and the login tried, as worker and kubelet would. The credential is
// forgotten at the end; of it only user name and life are told.
import { rootCertificates } from 'node:tls';
import { isProblem, Problem, type ProblemCode } from '../../problem.ts';
import { readText } from '../../text-file.ts';
import { createExchange } from '../../registry/exchange.ts';
import { tryRegistryLogin, type LoginOutcome } from '../../registry/registry-login.ts';
import type { Principal } from '../../core/identity-parameters.ts';
import type { Credential } from '../../core/pull-credential.ts';
import { needOf } from './token-steps.ts';
import { failed, known, ok, type Check, type DoctorTools, type Facts, type Finding } from './step.ts';

export const exchangeSteps: readonly Check[] = [
  { step: 'exchange', needs: ['host', 'claims'], run: checkExchange },
  { step: 'login', needs: ['exchange'], run: checkLogin },
];

/** All tries of all steps of one login. */
const LOGIN_MS = 30_000;

const EXCHANGE = /^exchange-|^credential-already-expired$|^file-unreadable$/;

async function checkExchange(facts: Facts, { http, clock, signal }: DoctorTools): Promise<Finding> {
  const [rule, token] = [known(facts, 'rule'), known(facts, 'token')];
  const exchange = createExchange({ http });
  const credentials: Credential[] = [];
  const told: string[] = [];
  for (const [at, principal] of known(facts, 'principals').entries()) {
    const planned = { need: needOf(facts, at), rule, principal };
    const of = prefixOf(principal);
    try {
      const credential = await exchange({ signal, clock }, { ...token, planned });
      credentials.push(credential);
      told.push(`${of}user ${credential.username}, good for ${lifeText(credential)}`);
    } catch (error) {
      return refusedBy(error, of, 'name its authority in certificateAuthorityFile of the rule', signal);
    }
  }
  facts.credentials = credentials;
  return ok(told.join('; '));
}

/** An account may have several, and each has a credential of its own. */
function prefixOf(principal: Principal | undefined): string {
  return principal?.name ? `${principal.name}: ` : '';
}

function lifeText({ issuedAt, expiresAt }: Credential): string {
  const minutes = Math.round((expiresAt - issuedAt) / 60_000);
  const life = minutes >= 120 ? `${Math.round(minutes / 6) / 10} h` : `${minutes} min`;
  return `${life}, until ${new Date(expiresAt).toISOString()}`;
}

async function checkLogin(
  facts: Facts,
  { http, clock, signal, registryAuthority }: DoctorTools,
): Promise<Finding> {
  const [host, { image }] = [known(facts, 'host'), facts.question];
  const ruleFile = known(facts, 'rule').exchange.certificateAuthorityFile;
  const authority = registryAuthority ?? (ruleFile === undefined ? undefined : readText(ruleFile));
  const tools = {
    http,
    clock,
    signal: clock.deadline(LOGIN_MS, signal),
    // A node trusts the public authorities and what was added; the realm may stand behind either.
    certificateAuthority: authority === undefined ? undefined : [authority, ...rootCertificates].join('\n'),
    onDate: () => undefined,
  };
  let outcome: LoginOutcome | undefined;
  for (const [at, credential] of known(facts, 'credentials').entries()) {
    try {
      outcome = await tryRegistryLogin(tools, { host, credential, image });
    } catch (error) {
      const trust = 'pass --registry-ca with its authority, which every node must trust too';
      return refusedBy(error, prefixOf(known(facts, 'principals')[at]), trust, signal);
    }
  }
  return ok(
    loginText(host, outcome, image && `${image.repository}:${image.tag ?? image.digest ?? 'latest'}`),
  );
}

function loginText(host: string, outcome: LoginOutcome | undefined, image: string | undefined): string {
  const { asked = 'nothing', sentTo = host } = outcome ?? {};
  if (asked === 'nothing')
    return image ? `${host} gives ${image} to everybody` : `${host} asks nobody for a login`;
  const where = sentTo === host ? '' : `, whose password goes to ${sentTo}`;
  const what = image ? `and gives ${image}` : 'for any repository: pass --image to see whether it opens one';
  return `${host} takes the login${where}, ${what}`;
}

const UNKNOWN_AUTHORITY = /SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)/;

/**
 * @param trust the cure where nobody here knows the authority of their certificate
 * @throws what is no answer of theirs, and everything once the user has stopped us
 */
function refusedBy(error: unknown, of: string, trust: string, signal: AbortSignal): Finding {
  if (signal.aborted) throw new Problem('deadline', 'the check was stopped', { cause: error });
  if (!isProblem(error) || !EXCHANGE.test(error.code)) throw error;
  const isUnknown = error.code === 'exchange-unreachable' && UNKNOWN_AUTHORITY.test(error.message);
  const cure = isUnknown ? trust : (cures[error.code] ?? COMPARE);
  return failed(`${of}${error.message} (${error.code})`, cure);
}

const cures: Partial<Record<ProblemCode, string>> = {
  'exchange-waiting':
    'trust that was just set up needs some minutes: ask again; then compare it with the step claims',
  'exchange-stale': 'set the clocks of this machine, the API server and the registry',
  'exchange-throttled': 'wait, and ask again',
  'exchange-unreachable':
    'open the way to that host from here and from the worker (HTTPS_PROXY, certificate authority)',
  'file-unreadable': 'correct certificateAuthorityFile of the rule',
};
const COMPARE = 'compare what the registry trusts with the step claims, byte for byte';
