// What to do now: one cure for each finding of explain.
import type { PullCredentialRecord } from '../../core/pull-credential-record.ts';
import { INJECT_LABEL } from '../../core/vocabulary.ts';
import type { PodFacts } from './facts.ts';

/** For a record that is not ready, by the code of what stands in the way. */
export function cureForRecord(record: PullCredentialRecord, reason: string, facts: PodFacts): string {
  const { namespace, account, rule, secretName, host } = record;
  switch (reason) {
    case 'secret-not-ours':
      return `kubectl delete secret ${secretName} -n ${namespace}, if nobody needs it: keyless-pull makes its own of that name`;
    case 'rule-unknown':
      return `put rule ${rule} back into the config, or delete the pod so that it is given another rule`;
    case 'quota-exceeded':
      return `raise the ResourceQuota on secrets of namespace ${namespace}`;
    case 'namespace-refused':
      return `kubectl label namespace ${namespace} ${INJECT_LABEL}=enabled --overwrite`;
    case 'service-account-missing':
      return `kubectl create serviceaccount ${account} -n ${namespace}`;
    case 'fence-missing':
      return 'kubectl apply -k webhook-config';
    case 'pending':
    case 'credential-expired':
      if (facts.worker.state === 'absent' || facts.worker.state === 'silent') return workerCure();
      return `wait a few seconds; if it stays so, read the worker's log for ${host}`;
    default:
      return `keyless-pull doctor --config FILE --rule ${rule} --account ${namespace}/${account} --host ${host} tries every condition`;
  }
}

export function workerCure(): string {
  return 'start a worker; until then keyless-pull release opens gates by hand';
}

/** The kubelet's and the runtime's words for what has gone wrong with a pull, and what that means here. */
const PULL_TROUBLES: readonly (readonly [RegExp, (image: string, facts: PodFacts) => string])[] = [
  [
    /manifest unknown|not found|MANIFEST_UNKNOWN|no such manifest/i,
    () => 'correct the name or tag of the image, or push it',
  ],
  [
    /x509|certificate/i,
    () =>
      "let the node trust the authority of the registry's certificate: that is the container runtime's setting",
  ],
  [
    /toomanyrequests|429|rate limit/i,
    () => 'wait: the registry limits pulls; a mirror or a paid plan helps for good',
  ],
  [
    /no such host|i\/o timeout|connection refused|dial tcp|deadline exceeded/i,
    () => 'let the node reach the registry: name resolution, routes, proxies',
  ],
  [
    /unauthorized|denied|forbidden|401|403|insufficient_scope|no basic auth/i,
    (image, facts) =>
      facts.secrets.length === 0
        ? 'the pull was made without a credential: see admission above'
        : `grant the account this repository at the registry; keyless-pull doctor with --image ${image} tries it`,
  ],
];

export function cureForPull(message: string, image: string, facts: PodFacts): string {
  const found = PULL_TROUBLES.find(([pattern]) => pattern.test(message));
  const { namespace, name } = facts.pod;
  return found
    ? found[1](image, facts)
    : `kubectl describe pod ${name} -n ${namespace} has the whole message`;
}
