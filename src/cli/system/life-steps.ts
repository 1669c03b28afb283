// Does it live: the worker's Lease, the clocks, the issuer, and what became of records and Secrets.
import { fieldsOf, instantOf, textOf } from '../../core/fields.ts';
import { LEASE_NAME, MANAGED_LABEL } from '../../core/vocabulary.ts';
import { pathTo } from '../../cluster/kube-connection.ts';
import { isProblem } from '../../problem.ts';
import { printable, spanText } from '../printable.ts';
import { replyOf } from '../doctor/live-cluster.ts';
import { failed, ok, skipped, warning, type Finding } from '../doctor/step.ts';
import { listIn, nameOf, someOf, type SystemCheck, type SystemLook } from './step.ts';
import type { PullCredentialRecord } from '../../core/pull-credential-record.ts';

export const lifeSteps: readonly SystemCheck[] = [
  { step: 'worker', run: checkWorker },
  { step: 'clock', run: checkClock },
  { step: 'issuer', run: checkIssuer },
  { step: 'records', run: checkRecords },
  { step: 'secrets', run: checkSecrets },
];

const SILENT_MS = 10_000;
/** Beyond it tokens are "not valid yet" at registries, and times in tables mislead. */
const SKEW_MS = 5_000;

/** The API server's own wall clock, to the second: it stamps what it answers. */
async function serverTime({
  cluster,
  clock,
}: SystemLook): Promise<{ skew: number; now: number } | undefined> {
  const startedAt = clock.now();
  const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const reply = await replyOf(() => cluster.ask(path, body));
  const stamp =
    reply.kind === 'found' ? instantOf(fieldsOf(fieldsOf(reply.thing)['metadata'])['creationTimestamp']) : 0;
  if (stamp === 0) return undefined;
  const endedAt = clock.now();
  // The stamp has no fraction: it is right anywhere between the second before the question and the answer.
  const skew = stamp > endedAt ? stamp - endedAt : Math.min(0, stamp + 1_000 - startedAt);
  return { skew, now: clock.now() + skew };
}

async function checkWorker(look: SystemLook): Promise<Finding> {
  const path = `/apis/coordination.k8s.io/v1${pathTo`/namespaces/${look.ownNamespace}/leases/${LEASE_NAME}`}`;
  const reply = await replyOf(() => look.cluster.read(path));
  if (reply.kind === 'refused')
    return skipped(`you may not read the Lease ${look.ownNamespace}/${LEASE_NAME}`);
  const cure = `kubectl -n ${look.ownNamespace} get pods; kubectl -n ${look.ownNamespace} logs -l app.kubernetes.io/name=keyless-pull`;
  if (reply.kind === 'missing') return failed('no worker has ever worked: there is no Lease', cure);
  const spec = fieldsOf(fieldsOf(reply.thing)['spec']);
  const holder = printable(textOf(spec['holderIdentity']));
  if (holder === '') return failed('the last worker has released its Lease, and no other took it', cure);
  const now = (await serverTime(look))?.now ?? look.clock.now();
  const silent = now - instantOf(spec['renewTime']);
  if (silent > SILENT_MS) return failed(`${holder} has not renewed its Lease for ${spanText(silent)}`, cure);
  if (silent < -SKEW_MS)
    return failed(
      `the clock of ${holder} is ${spanText(-silent)} ahead of the API server's`,
      'set the clock of its node (NTP)',
    );
  return ok(`${holder} works`);
}

async function checkClock(look: SystemLook): Promise<Finding> {
  const time = await serverTime(look);
  if (!time) return skipped('the API server does not say what time it is');
  if (Math.abs(time.skew) <= SKEW_MS) return ok("this machine's clock and the API server's agree");
  return warning(
    `this machine's clock is ${spanText(Math.abs(time.skew))} ${time.skew > 0 ? 'behind' : 'ahead of'} the API server's`,
    'set the clock (NTP); expiry times that commands show here are judged by the wrong one',
  );
}

async function checkIssuer(look: SystemLook): Promise<Finding> {
  const reply = await look.get('/.well-known/openid-configuration');
  if (reply.kind !== 'found') return skipped('you may not read the discovery document of the API server');
  const issuer = textOf(fieldsOf(reply.thing)['issuer']);
  if (!issuer.startsWith('https://'))
    return failed(
      `the issuer ${JSON.stringify(issuer)} is no https URL`,
      '--service-account-issuer of the API server',
    );
  const accept = 'application/jwk-set+json';
  const keys = await replyOf(() => look.cluster.call({ method: 'GET', path: '/openid/v1/jwks', accept }));
  if (keys.kind !== 'found') return skipped('you may not read the keys of the API server');
  const published = new Set(listIn(keys.thing, 'keys').map((key) => textOf(fieldsOf(key)['kid'])));
  if (published.size === 0)
    return failed('the API server publishes no signing key', '--service-account-key-file');
  const records = await recordsOf(look);
  const stale = (records ?? []).filter(
    ({ status }) => status?.isReady && status.tokenKeyId && !published.has(status.tokenKeyId),
  );
  if (stale.length > 0)
    return failed(
      `${stale.length} credentials were signed by a key that ${issuer} no longer publishes`,
      'a working worker mints them anew within minutes; docs/operations.md, "Rotating the cluster\'s signing key"',
    );
  return ok(`${issuer} publishes ${published.size} ${published.size === 1 ? 'key' : 'keys'}`);
}

async function recordsOf({ cluster }: SystemLook): Promise<readonly PullCredentialRecord[] | undefined> {
  return cluster.records().catch((error: unknown) => {
    if (!isProblem(error, 'cluster-refused', 'cluster-missing')) throw error;
    return undefined;
  });
}

async function checkRecords(look: SystemLook): Promise<Finding> {
  const records = await recordsOf(look);
  if (!records) return skipped('you may not list PullCredentials of the whole cluster, or there are none');
  const now = look.clock.now();
  const accounts = await look.list('/api/v1/serviceaccounts');
  const uids = new Set(
    (accounts.kind === 'found' ? accounts.thing : []).map((each) =>
      textOf(fieldsOf(fieldsOf(each)['metadata'])['uid']),
    ),
  );
  const orphaned = accounts.kind === 'found' ? records.filter(({ accountUid }) => !uids.has(accountUid)) : [];
  const expired = records.filter(
    ({ status }) => status !== undefined && status.expiresAt > 0 && status.expiresAt < now,
  );
  const refused = records.filter(
    ({ status }) => status !== undefined && !status.isReady && status.expiresAt === 0,
  );
  const names = (some: readonly PullCredentialRecord[]) =>
    someOf(some.map(({ namespace, name }) => `${namespace}/${name}`));
  if (expired.length > 0)
    return failed(
      `${expired.length} have expired: ${names(expired)}`,
      'keyless-pull status -A says what stands in the way',
    );
  if (orphaned.length > 0)
    return warning(
      `${orphaned.length} are of accounts that are gone: ${names(orphaned)}`,
      'a working worker deletes them within seconds',
    );
  if (refused.length > 0)
    return warning(`${refused.length} are not ready: ${names(refused)}`, 'keyless-pull status -A says why');
  return ok(`${records.length} PullCredentials, none expired or left behind`);
}

/** Metadata alone: no content of a Secret leaves the API server. */
async function checkSecrets({ cluster }: SystemLook): Promise<Finding> {
  const query = { labelSelector: `${MANAGED_LABEL}=true` };
  const reply = await replyOf(() => cluster.listMetadata('/api/v1/secrets', query));
  if (reply.kind !== 'found') return skipped('you may not list Secrets of the whole cluster');
  const secrets = reply.thing as readonly unknown[];
  const left = secrets.filter(
    (each) =>
      !listIn(each, 'metadata', 'ownerReferences').some(
        (owner) => fieldsOf(owner)['kind'] === 'PullCredential',
      ),
  );
  if (left.length === 0) return ok(`${secrets.length} Secrets of ours, each with its record`);
  const namespaced = (each: unknown) =>
    `${textOf(fieldsOf(fieldsOf(each)['metadata'])['namespace'])}/${nameOf(each)}`;
  return warning(
    `${left.length} belong to no record: ${someOf(left.map(namespaced))}`,
    'the worker adopts them when a pod needs the name; what nobody needs any more: kubectl delete secret',
  );
}
