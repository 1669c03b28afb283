// Small whole things for the tests of the core, each with one thing changed.
import { viewAccount, viewPod } from '../../src/core/pod-view.ts';
import { planPulls } from '../../src/core/pull-plan.ts';
import type { RegistryRule } from '../../src/core/registry-rule.ts';
import type { AccountView, PodView } from '../../src/core/pod-view.ts';
import type { Identity, Need } from '../../src/core/pull-credential.ts';
import type { Plan, PlanSettings } from '../../src/core/pull-plan.ts';
import { needOf, Rule } from '../fakes/builders.ts';

export type Raw = Record<string, unknown>;

export const identity: Identity = { namespace: 'shop', account: 'checkout', uid: 'account-uid-1' };

/** A pass-through rule for `registry.team.example`. */
export function aRule(change: Raw = {}): RegistryRule {
  return Rule.parse({
    name: 'team',
    hosts: ['registry.team.example'],
    audience: 'https://registry.team.example',
    exchange: { kind: 'pass-through' },
    ...change,
  });
}

export function aNeed(change: Partial<Need> = {}): Need {
  const account = { namespace: identity.namespace, name: identity.account, uid: identity.uid };
  return { ...needOf(account, aRule()), ...change };
}

/** A pod as the API server sends it at creation. `spec` and `metadata` are laid over what is there. */
export function aRawPod(images: readonly string[], spec: Raw = {}, metadata: Raw = {}): Raw {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'checkout-1', namespace: 'shop', ...metadata },
    spec: {
      serviceAccountName: 'checkout',
      containers: images.map((image, at) => ({ name: `c${at}`, image })),
      ...spec,
    },
  };
}

export function aPod(images: readonly string[], spec: Raw = {}, metadata: Raw = {}): PodView {
  return viewPod(aRawPod(images, spec, metadata));
}

export function anAccount(change: Raw = {}, metadata: Raw = {}): AccountView {
  const named = { namespace: 'shop', name: 'checkout', uid: identity.uid };
  return viewAccount({ metadata: { ...named, ...metadata }, ...change });
}

export function planOf(
  pod: PodView,
  settings: Partial<PlanSettings> = {},
  account = anAccount(),
  labels = {},
): Plan {
  return planPulls(pod, account, labels, { rules: [aRule()], needsPerPod: 8, ...settings });
}
