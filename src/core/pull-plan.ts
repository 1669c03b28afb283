// From one pod to its needs: which images, which registry hosts, which rules, which credentials, and what was left out.
import { isProblem } from '../problem.ts';
import { parseImageReference } from './image-reference.ts';
import { principalsOf, type Principal, type Principals } from './identity-parameters.ts';
import { dockerConfigSource, mountedDockerConfig, type MountedDockerConfig } from './docker-config.ts';
import { inPodRequestOf } from './in-pod-request.ts';
import { enforcesMountableSecrets } from './mountable-secrets.ts';
import { secretNameFor } from './pull-secret.ts';
import { ruleForHost, ruleSpeaksOf, type RegistryRule } from './registry-rule.ts';
import { mountedTokens, tokenSources, type MountedTokens, type TokenSource } from './token-volume.ts';
import { ENFORCE_MOUNTABLE_ANNOTATION, INJECT_LABEL } from './vocabulary.ts';
import type { AccountView, PodView } from './pod-view.ts';
import type { Identity, Need } from './pull-credential.ts';

export interface PlannedNeed {
  readonly need: Need;
  readonly rule: RegistryRule;
  readonly principal: Principal;
}

export type LeftOutReason =
  | 'no-rule'
  | 'image-unparseable'
  | 'parameters'
  | 'too-many-needs'
  | 'mountable-secrets'
  | 'opted-out'
  | 'request-malformed'
  | 'no-such-container'
  | 'no-such-rule'
  | 'not-in-pod'
  | 'token-declined'
  | 'several-secrets'
  | 'no-host';

export interface LeftOut {
  readonly reason: LeftOutReason;
  /** Registry host, or empty where the image names none. */
  readonly host: string;
  /** The container or volume that named it first; empty for the pod as a whole. */
  readonly container: string;
  /** One line for a person. */
  readonly message: string;
  /** The annotation that the account lacks, where that is the reason. */
  readonly wants?: Principals['wants'];
}

export interface Plan {
  readonly identity: Identity;
  /** Delivered as Secrets, in the order in which the pod names their registries. */
  readonly needs: readonly PlannedNeed[];
  /** Names of rules that the node's own credential provider serves. */
  readonly onNode: readonly string[];
  readonly tokens: readonly TokenSource[];
  /** What the pod's own containers see of all that. */
  readonly inPod: { readonly tokens?: MountedTokens; readonly dockerConfig?: MountedDockerConfig };
  readonly leftOut: readonly LeftOut[];
}

export interface PlanSettings {
  readonly rules: readonly RegistryRule[];
  readonly needsPerPod: number;
}

/** Hosts are tenants' to invent, and each is held against every rule: forty thousand would take seconds, and all wait. */
const MOST_REGISTRIES = 256;

/**
 * What this pod needs, as a pure function of pod, account, namespace labels and config. Used alike by the webhook, the
 * worker and `render`. Of the pod's annotations those two are read that ask for something in the pod; what it says about
 * its credentials is output and never read.
 */
export function planPulls(
  pod: PodView,
  account: AccountView,
  namespaceLabels: Readonly<Record<string, string>>,
  settings: PlanSettings,
): Plan {
  const identity: Identity = { namespace: pod.namespace, account: account.name, uid: account.uid };
  const needs: PlannedNeed[] = [];
  const leftOut: LeftOut[] = [];
  const nothing = { identity, needs, onNode: [], tokens: [], inPod: {}, leftOut };
  if (pod.isMirror) return nothing;
  if (pod.labels[INJECT_LABEL] === 'disabled') {
    leftOut.push({
      reason: 'opted-out',
      host: '',
      container: '',
      message: `the label ${INJECT_LABEL}=disabled opts this pod out of credentials`,
    });
    return nothing;
  }

  const { rules } = settings;
  const speaksOf = (rule: RegistryRule) => ruleSpeaksOf(rule, account.name, namespaceLabels);
  /** With the audience of this account's token. */
  const needed = new Map<RegistryRule, string>();
  const planHost = (rule: RegistryRule, host: string, container: string) => {
    const { principals, faults, wants } = principalsOf(rule, account, host);
    needed.set(rule, principals[0]?.audience ?? rule.audience);
    for (const message of faults) {
      const isWanted = wants !== undefined && message.includes(wants.annotation);
      leftOut.push({ reason: 'parameters', host, container, message, ...(isWanted && { wants }) });
    }
    if (!rule.delivery.includes('secret')) return;
    for (const principal of principals) {
      const need = needFor(identity, rule, host, principal);
      const refusal = refusalOf(need, account, needs.length, settings);
      if (refusal) leftOut.push({ ...refusal, host, container });
      else needs.push({ need, rule, principal });
    }
  };

  const seen = new Set<string>();
  let unreadable = 0;
  for (const { name, image } of pod.images) {
    if (seen.size + unreadable >= MOST_REGISTRIES) {
      const message = `this pod names too many registries: what comes after ${MOST_REGISTRIES} is pulled without a credential from keyless-pull`;
      leftOut.push({ reason: 'too-many-needs', host: '', container: name, message });
      break;
    }
    const host = hostOf(image, name, leftOut);
    if (host === undefined) unreadable++;
    if (host === undefined || seen.has(host)) continue;
    seen.add(host);
    const rule = ruleForHost(rules, host, speaksOf);
    if (rule) planHost(rule, host, name);
    else {
      const message = `no rule covers registry ${host}: it is pulled without a credential from keyless-pull`;
      leftOut.push({ reason: 'no-rule', host, container: name, message });
    }
  }

  const request = inPodRequestOf(pod);
  leftOut.push(...request.leftOut);
  const asked = request.dockerConfig;
  const source = asked && dockerConfigSource(asked.rule, account, rules, speaksOf, leftOut);
  const isPulledFrom = source !== undefined && needed.has(source.rule);
  // What a pod copies from or pushes to is seldom where its own image is: that is a need like any other all the same.
  if (source?.host !== undefined && !seen.has(source.host)) planHost(source.rule, source.host, '');
  const dockerConfig = source && mountedDockerConfig(source, asked.containers, needs, isPulledFrom, leftOut);
  const mounted = mountedTokens(pod, account, needed.keys(), request.mount, leftOut);
  return {
    identity,
    needs,
    onNode: [...needed.keys()].filter(({ delivery }) => delivery.includes('kubelet')).map(({ name }) => name),
    tokens: tokenSources(needed, mounted),
    inPod: { ...(mounted && { tokens: mounted }), ...(dockerConfig && { dockerConfig }) },
    leftOut,
  };
}

/** The need of one account at one host; the name of its Secret and record is computed, never looked up. */
export function needFor(identity: Identity, rule: RegistryRule, host: string, principal: Principal): Need {
  return {
    identity,
    rule: rule.name,
    principal: principal.name,
    host,
    secretName: principal.secretName ?? secretNameFor(identity.account, rule.name, principal.name, host),
    digest: principal.digest,
  };
}

function hostOf(image: string, container: string, leftOut: LeftOut[]): string | undefined {
  try {
    return parseImageReference(image).host;
  } catch (error) {
    if (!isProblem(error, 'image-unparseable')) throw error;
    leftOut.push({
      reason: 'image-unparseable',
      host: '',
      container,
      message: `${error.message}: no credential can be chosen for it`,
    });
    return undefined;
  }
}

function refusalOf(
  need: Need,
  account: AccountView,
  planned: number,
  settings: PlanSettings,
): Pick<LeftOut, 'reason' | 'message'> | undefined {
  if (planned >= settings.needsPerPod) {
    return {
      reason: 'too-many-needs',
      message: `this pod needs more than ${settings.needsPerPod} credentials: none is added for ${need.host}`,
    };
  }
  if (enforcesMountableSecrets(account) && !account.pullSecrets.includes(need.secretName)) {
    return {
      reason: 'mountable-secrets',
      message: `ServiceAccount ${account.name} enforces mountable secrets: add ${need.secretName} to its imagePullSecrets, or remove the annotation ${ENFORCE_MOUNTABLE_ANNOTATION}`,
    };
  }
  return undefined;
}
