// What doctor asks of a real cluster, with the rights of the user. A refusal's own words are read, never shown.
import { Problem, isProblem } from '../../problem.ts';
import { SecretText } from '../../secret-text.ts';
import { fieldsOf, instantOf, listOf, textOf } from '../../core/fields.ts';
import { viewAccount, viewNamespace } from '../../core/pod-view.ts';
import { claimsOf, headerOf } from '../../cluster/token-parts.ts';
import { openUserCluster, type UserCluster } from '../../cluster/user-cluster.ts';
import type { Clock } from '../../clock.ts';
import type { KubeChoice } from '../../cluster/kube-cluster.ts';
import type { DoctorCluster, Refused, Reply } from './doctor-cluster.ts';

export interface LiveCluster extends DoctorCluster, AsyncDisposable {}

const TOKEN_SECONDS = 600;
/** User names may be e-mail addresses and distinguished names. */
const PRINTABLE = /^[\x20-\x7E]{1,256}$/;
/** In webhook-config/fences.yaml. */
const TOKEN_FENCE = 'keyless-pull-worker-token-requests';

/** Opened by the first question: a kubeconfig that is none is a finding of the step that asks it. */
export function createLiveCluster(
  choice: KubeChoice,
  tools: { readonly clock: Clock; readonly signal: AbortSignal },
): LiveCluster {
  let opened: Promise<UserCluster> | undefined;
  const cluster = () => (opened ??= openUserCluster(choice, tools));
  const read = (path: string) => replyOf(async () => (await cluster()).read(path));
  const find = (collection: string, name: string) =>
    replyOf(async () => (await cluster()).find(collection, name));

  return {
    greeting: async () => greetingOf(await cluster()),
    account: async (namespace, name) => {
      const accounts = `/api/v1/namespaces/${encodeURIComponent(namespace)}/serviceaccounts`;
      return mapped(await find(accounts, name), viewAccount);
    },
    namespace: async (name) => mapped(await find('/api/v1/namespaces', name), viewNamespace),
    discovery: () => read('/.well-known/openid-configuration'),
    async fenceAudiences() {
      const policies = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';
      return mapped(await read(`${policies}/${TOKEN_FENCE}`), audiencesOf);
    },
    async token(account, audience) {
      const issuedAt = tools.clock.now();
      let words = '';
      const hear = (message: string) => (words = message);
      const spec = { audiences: [audience], expirationSeconds: TOKEN_SECONDS };
      const reply = await replyOf(
        async () => (await cluster()).token(account, spec, hear),
        () => words,
      );
      return mapped(reply, (answer) => {
        const status = fieldsOf(fieldsOf(answer)['status']);
        const text = textOf(status['token']);
        const header = headerOf(text);
        return {
          token: new SecretText(text),
          issuedAt,
          expiresAt: instantOf(status['expirationTimestamp']),
          keyId: nameOf(header['kid']),
          algorithm: nameOf(header['alg']),
          claims: claimsOf(text),
        };
      });
    },
    async [Symbol.asyncDispose]() {
      const live = await opened?.catch(() => undefined);
      await live?.[Symbol.asyncDispose]();
    },
  };
}

export async function greetingOf(cluster: Pick<UserCluster, 'ask'>): Promise<string> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
  const reply = await replyOf(() => cluster.ask('/apis/authentication.k8s.io/v1/selfsubjectreviews', body));
  const status = reply.kind === 'found' ? fieldsOf(fieldsOf(reply.thing)['status']) : {};
  const user = textOf(fieldsOf(fieldsOf(status)['userInfo'])['username']);
  return PRINTABLE.test(user) ? `the API server takes you for ${user}` : 'the API server answers';
}

function mapped<From, To>(reply: Reply<From>, map: (thing: From) => To): Reply<To> {
  return reply.kind === 'found' ? { kind: 'found', thing: map(reply.thing) } : reply;
}

/** `undefined` is what there is not. @throws Problem when the API server could not be asked at all */
export async function replyOf(
  ask: () => Promise<unknown>,
  words: () => string = () => '',
): Promise<Reply<unknown>> {
  try {
    const thing = await ask();
    return thing === undefined ? { kind: 'missing' } : { kind: 'found', thing };
  } catch (error) {
    if (isProblem(error, 'cluster-missing')) return { kind: 'missing' };
    if (isProblem(error, 'cluster-conflict'))
      throw new Problem(error.code, 'the ServiceAccount was recreated meanwhile: ask again', {
        cause: error,
      });
    const refused = isProblem(error, 'cluster-refused', 'namespace-refused')
      ? refusedBy(error, words())
      : undefined;
    if (!refused) throw error;
    return refused;
  }
}

function refusedBy({ details: { upstream = '' } }: Problem, words: string): Refused | undefined {
  const policy = /policy ([a-z0-9.-]+)$/.exec(upstream)?.[1];
  if (policy !== undefined)
    return { kind: 'refused', policy, ...(policy === TOKEN_FENCE && { demand: demandOf(words) }) };
  return upstream.startsWith('403') ? { kind: 'refused' } : undefined;
}

function demandOf(words: string): NonNullable<Refused['demand']> {
  if (words.includes('exactly one audience')) return 'audience';
  return words.includes('bound to a Secret') ? 'binding' : 'namespace';
}

/** Shown as it is, and so no more than a name. */
function nameOf(value: unknown): string {
  const text = textOf(value);
  return /^[\w.:=/+-]{1,128}$/.test(text) ? text : '';
}

/** The policy's variable `audiences` is a CEL list of texts. */
export function audiencesOf(policy: unknown): readonly string[] {
  const { variables } = fieldsOf(fieldsOf(policy)['spec']);
  const list = listOf(variables).find(({ name }) => name === 'audiences');
  return [...textOf(list?.['expression']).matchAll(/"([^"]*)"|'([^']*)'/g)].map(
    ([, one, other]) => one ?? other ?? '',
  );
}
