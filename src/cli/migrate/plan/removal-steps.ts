// The steps that take static references away: from workloads, then from accounts, each with the list to put back.
import { listedSecrets } from '../references.ts';
import { shellWord } from '../../trust/quoting.ts';
import { isProvisioners, managerOf, PROVISIONER_LABEL } from './provisioner.ts';
import { kubectlIn, removalCommand, restoreCommand, type PlanStep } from './plan-step.ts';
import type { Manifest } from '../../manifests.ts';
import type { NamespaceFacts } from './namespace-steps.ts';
import type { Reference } from '../references.ts';

/** Nobody may change their pods: they go with whoever makes them anew. */
const IMMUTABLE = ['Pod', 'Job'];
const RESTARTABLE = ['Deployment', 'StatefulSet', 'DaemonSet'];

export function workloadsStep(facts: NamespaceFacts): PlanStep | undefined {
  const goes = goesOf(facts, ({ holder }) => holder.kind !== 'ServiceAccount');
  if (goes.size === 0) return undefined;
  const holders = [...goes.keys()];
  const commands: string[] = [];
  const back: string[] = [];
  for (const [holder, secrets] of goes) {
    if (IMMUTABLE.includes(holder.kind)) continue;
    commands.push(removalCommand(holder, secrets));
    back.push(restoreCommand(holder));
  }
  const anew = holders.filter(({ kind }) => IMMUTABLE.includes(kind)).map(objectText);
  return {
    step: 'workloads',
    namespace: facts.name,
    does:
      'Workloads lose their static pull secrets, one after the other; each makes new pods at once.' +
      (anew.length > 0 ? ` Made anew by hand, without them: ${anew.join(', ')}.` : '') +
      managedText(holders),
    commands,
    proof: {
      text: 'The new pods run, and list managed Secrets only (or what their account still gives them).',
      commands: [...rolloutsOf(holders), podsCommand(facts.name)],
    },
    back,
  };
}

/** The accounts' own entries, those that the provisioner wrote left out. */
export function accountsStep(facts: NamespaceFacts): PlanStep | undefined {
  const goes = goesOf(
    facts,
    ({ holder, secret }) => holder.kind === 'ServiceAccount' && !isProvisioners(holder, secret),
  );
  if (goes.size === 0) return undefined;
  const holders = [...goes.keys()];
  return {
    step: 'accounts',
    namespace: facts.name,
    does: `Accounts lose their static pull secrets; new pods inherit none.${managedText(holders)}`,
    commands: [...removalsOf(goes), ...restartsOf(facts, holders)],
    proof: proofOf(facts),
    back: holders.map(restoreCommand),
  };
}

/** Once its controller stands still. Entries of names that are ours by now stay: only the Secrets behind them change hands. */
export function provisionerStep(facts: NamespaceFacts): PlanStep | undefined {
  const accounts = provisionedAccounts(facts);
  if (accounts.length === 0) return undefined;
  const goes = goesOf(facts, ({ holder, secret }) => isProvisioners(holder, secret));
  return {
    step: 'accounts',
    namespace: facts.name,
    does: `Accounts lose the entries of the provisioner, which is stopped, and its Secrets go last.${managedText([...goes.keys()])}`,
    commands: [
      ...removalsOf(goes),
      ...restartsOf(facts, accounts),
      ...accounts.map(
        ({ name }) => `${kubectlIn(facts.name)} delete secret -l ${PROVISIONER_LABEL}=${shellWord(name)}`,
      ),
    ],
    proof: proofOf(facts),
    // Started again, it makes its Secrets and entries itself.
    back: [],
  };
}

/** Accounts that list what the provisioner wrote. */
export function provisionedAccounts({ world, name }: NamespaceFacts): Manifest[] {
  return world.manifests.filter(
    (manifest) =>
      manifest.kind === 'ServiceAccount' &&
      manifest.namespace === name &&
      listedSecrets(manifest).some((secret) => isProvisioners(manifest, secret)),
  );
}

function removalsOf(goes: ReadonlyMap<Manifest, readonly string[]>): string[] {
  return [...goes].map(([holder, secrets]) => removalCommand(holder, secrets));
}

function restartsOf({ name, pods }: NamespaceFacts, accounts: readonly Manifest[]): string[] {
  const names = new Set(accounts.map((account) => account.name));
  const restarted = pods
    .filter(({ manifest, pod }) => RESTARTABLE.includes(manifest.kind) && names.has(pod.serviceAccount))
    .map(({ manifest }) => manifest);
  return [
    ...restarted.map(
      (one) => `${kubectlIn(name)} rollout restart ${one.kind.toLowerCase()}/${shellWord(one.name)}`,
    ),
    ...rolloutsOf(restarted),
  ];
}

function proofOf({ name }: NamespaceFacts): PlanStep['proof'] {
  return {
    text: 'The new pods run, and list managed Secrets only: now keyless-pull alone pulls for them.',
    commands: [podsCommand(name), `keyless-pull status -n ${shellWord(name)}`],
  };
}

function goesOf(
  { references }: NamespaceFacts,
  isMeant: (reference: Reference) => boolean,
): Map<Manifest, string[]> {
  const goes = new Map<Manifest, string[]>();
  for (const reference of references) {
    if (reference.stays !== undefined || !isMeant(reference)) continue;
    const { holder, secret } = reference;
    if (listedSecrets(holder).includes(secret)) goes.set(holder, [...(goes.get(holder) ?? []), secret]);
  }
  return goes;
}

function rolloutsOf(holders: readonly Manifest[]): string[] {
  return holders
    .filter(({ kind }) => RESTARTABLE.includes(kind))
    .map(
      ({ kind, namespace, name }) =>
        `${kubectlIn(namespace)} rollout status ${kind.toLowerCase()}/${shellWord(name)} --timeout=300s`,
    );
}

function podsCommand(namespace: string): string {
  const columns = 'POD:.metadata.name,PHASE:.status.phase,SECRETS:.spec.imagePullSecrets[*].name';
  return `${kubectlIn(namespace)} get pods -o ${shellWord(`custom-columns=${columns}`)}`;
}

function managedText(holders: readonly Manifest[]): string {
  const managed = holders.flatMap((holder) => {
    const manager = managerOf(holder);
    return manager === '' ? [] : `${objectText(holder)} (${manager})`;
  });
  if (managed.length === 0) return '';
  return ` Change the source of these instead, with keyless-pull migrate -f, or it is written back: ${managed.join(', ')}.`;
}

function objectText({ kind, name }: Manifest): string {
  return `${kind} ${name}`;
}
