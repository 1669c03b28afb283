// From one pod to its needs: which images, which registry hosts, which rules, which credentials, and what was left out.
import { isProblem } from '../problem.ts';
import { parseImageReference } from './image-reference.ts';
import { digestOf, type Identity, type Need } from './pull-credential.ts';
import { secretNameFor } from './pull-secret.ts';
import { ruleForHost, ruleSpeaksOf, type RegistryRule } from './registry-rule.ts';
import { ENFORCE_MOUNTABLE_ANNOTATION, INJECT_LABEL } from './vocabulary.ts';
import type { AccountView, PodView } from './pod-view.ts';

export interface PlannedNeed {
  readonly need: Need;
  readonly rule: RegistryRule;
}

/** One source of the projected token volume. */
export interface TokenSource {
  readonly rule: string;
  readonly audience: string;
  readonly expirationSeconds: number;
}

export type LeftOutReason =
  | 'no-rule'
  | 'image-unparseable'
  | 'too-many-needs'
  | 'mountable-secrets'
  | 'opted-out';

export interface LeftOut {
  readonly reason: LeftOutReason;
  /** Registry host, or empty where the image names none. */
  readonly host: string;
  /** The container or volume that named it first; empty for the pod as a whole. */
  readonly container: string;
  /** One line for a person. */
  readonly message: string;
}

export interface Plan {
  readonly identity: Identity;
  /** Delivered as Secrets, in the order in which the pod names their registries. */
  readonly needs: readonly PlannedNeed[];
  /** Names of rules that the node's own credential provider serves. */
  readonly onNode: readonly string[];
  readonly tokens: readonly TokenSource[];
  readonly leftOut: readonly LeftOut[];
}

export interface PlanSettings {
  readonly rules: readonly RegistryRule[];
  readonly needsPerPod: number;
}

/**
 * What this pod needs, as a pure function of pod, account, namespace labels and config. Used alike by the webhook, the
 * worker and `render`; what the pod's annotations say about credentials is output and never read.
 */
export function planPulls(
  pod: PodView,
  account: AccountView,
  namespaceLabels: Readonly<Record<string, string>>,
  settings: PlanSettings,
): Plan {
  const identity: Identity = { namespace: pod.namespace, account: account.name, uid: account.uid };
  const needs: PlannedNeed[] = [];
  const onNode: string[] = [];
  const tokens: TokenSource[] = [];
  const leftOut: LeftOut[] = [];
  const plan = { identity, needs, onNode, tokens, leftOut };
  if (pod.isMirror) return plan;
  if (pod.labels[INJECT_LABEL] === 'disabled') {
    leftOut.push({
      reason: 'opted-out',
      host: '',
      container: '',
      message: `the label ${INJECT_LABEL}=disabled opts this pod out of credentials`,
    });
    return plan;
  }

  const seen = new Set<string>();
  for (const { name, image } of pod.images) {
    const host = hostOf(image, name, leftOut);
    if (host === undefined || seen.has(host)) continue;
    seen.add(host);
    const rule = ruleForHost(settings.rules, host, (candidate) =>
      ruleSpeaksOf(candidate, account.name, namespaceLabels),
    );
    if (!rule) {
      leftOut.push({
        reason: 'no-rule',
        host,
        container: name,
        message: `no rule covers registry ${host}: it is pulled without a credential from keyless-pull`,
      });
      continue;
    }
    if (rule.delivery.includes('secret')) {
      const need = needFor(identity, rule, host);
      const refusal = refusalOf(need, account, needs.length, settings);
      if (refusal) leftOut.push({ ...refusal, host, container: name });
      else needs.push({ need, rule });
    }
    if (rule.delivery.includes('kubelet') && !onNode.includes(rule.name)) onNode.push(rule.name);
    if (wantsVolume(rule) && !tokens.some((token) => token.rule === rule.name)) {
      tokens.push({
        rule: rule.name,
        audience: rule.audience,
        expirationSeconds: rule.token.expirationSeconds,
      });
    }
  }
  return plan;
}

/** The need of one account at one host; the name of its Secret and record is computed, never looked up. */
export function needFor(identity: Identity, rule: RegistryRule, host: string, principal = ''): Need {
  return {
    identity,
    rule: rule.name,
    principal,
    host,
    secretName: secretNameFor(identity.account, rule.name, principal, host),
    digest: digestOf(rule),
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
  if (
    account.annotations[ENFORCE_MOUNTABLE_ANNOTATION] === 'true' &&
    !account.pullSecrets.includes(need.secretName)
  ) {
    return {
      reason: 'mountable-secrets',
      message: `ServiceAccount ${account.name} enforces mountable secrets: add ${need.secretName} to its imagePullSecrets, or remove the annotation ${ENFORCE_MOUNTABLE_ANNOTATION}`,
    };
  }
  return undefined;
}

function wantsVolume(rule: RegistryRule): boolean {
  switch (rule.token.inject) {
    case 'none':
      return false;
    case 'volume':
    case 'mount':
      return true;
    case 'auto':
      return rule.delivery.includes('kubelet');
  }
}
