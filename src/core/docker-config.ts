// One managed Secret as the docker config of a pod's own containers: of which rule and host it is asked, and whether there
// is exactly one, for config.json cannot be merged.
import { notGiven, quoted } from './in-pod-request.ts';
import { principalsOf } from './identity-parameters.ts';
import { enforcesMountableSecrets } from './mountable-secrets.ts';
import { servesHost, type RegistryRule } from './registry-rule.ts';
import { DOCKER_CONFIG_ANNOTATION, ENFORCE_MOUNTABLE_ANNOTATION } from './vocabulary.ts';
import type { AccountView } from './pod-view.ts';
import type { LeftOut, LeftOutReason, PlannedNeed } from './pull-plan.ts';

export interface MountedDockerConfig {
  readonly secretName: string;
  /** Never empty. */
  readonly containers: readonly string[];
}

export interface DockerConfigSource {
  readonly rule: RegistryRule;
  /** The one that the rule names whole; absent: it names several, or patterns, and the pod's images decide. */
  readonly host?: string;
}

/**
 * Who is asked. A rule's one whole host is meant whatever the images say: it is the same before and after another webhook
 * adds a container.
 * @param speaksOf whether a rule is meant for this account here
 */
export function dockerConfigSource(
  name: string,
  account: AccountView,
  rules: readonly RegistryRule[],
  speaksOf: (rule: RegistryRule) => boolean,
  leftOut: LeftOut[],
): DockerConfigSource | undefined {
  const refuse = (reason: LeftOutReason, why: string) => {
    leftOut.push(notGiven(reason, DOCKER_CONFIG_ANNOTATION, why));
    return undefined;
  };
  const rule = rules.find((candidate) => candidate.name === name);
  if (!rule) return refuse('no-such-rule', `no rule is called ${quoted(name)}`);
  if (!speaksOf(rule))
    return refuse('no-such-rule', `rule ${name} is not for ServiceAccount ${account.name} in this namespace`);
  if (!rule.inPod.includes('docker-config'))
    return refuse(
      'not-in-pod',
      `rule ${name} lets no pod have its Secret (inPod does not list docker-config)`,
    );
  if (!rule.delivery.includes('secret'))
    return refuse('not-in-pod', `rule ${name} is served by the node and has no Secret (delivery: kubelet)`);
  // The API server refuses the volume, and so the whole pod, unless the account lists the name under `secrets` too.
  if (enforcesMountableSecrets(account))
    return refuse(
      'mountable-secrets',
      `ServiceAccount ${account.name} enforces mountable secrets: remove its annotation ${ENFORCE_MOUNTABLE_ANNOTATION}`,
    );
  const [host, ...others] = rule.hosts.filter((pattern) => !pattern.includes('*'));
  if (host === undefined || others.length > 0 || !servesHost(rule, host)) return { rule };
  const { length } = principalsOf(rule, account, host).principals;
  return length > 1 ? refuse('several-secrets', severalSecrets(rule, length)) : { rule, host };
}

/** @param isPulledFrom whether an image of the pod leads to the rule */
export function mountedDockerConfig(
  { rule, host }: DockerConfigSource,
  containers: readonly string[],
  needs: readonly PlannedNeed[],
  isPulledFrom: boolean,
  leftOut: LeftOut[],
): MountedDockerConfig | undefined {
  const [found, ...others] = needs.filter(
    (planned) => planned.rule === rule && (host === undefined || planned.need.host === host),
  );
  if (found && others.length === 0) return { secretName: found.need.secretName, containers };
  if (found) {
    const why = severalSecrets(rule, others.length + 1);
    leftOut.push(notGiven('several-secrets', DOCKER_CONFIG_ANNOTATION, why));
  } else if (host === undefined && !isPulledFrom) {
    const why = `no image of this pod says which host of rule ${rule.name} is meant: pull one from there, or ask for a rule that names that host alone`;
    leftOut.push(notGiven('no-host', DOCKER_CONFIG_ANNOTATION, why));
  }
  // Else the need itself was left out, which has been said.
  return undefined;
}

function severalSecrets({ name }: RegistryRule, count: number): string {
  return `rule ${name} gives this pod ${count} credentials, each a Secret of its own: which one is meant cannot be said`;
}
