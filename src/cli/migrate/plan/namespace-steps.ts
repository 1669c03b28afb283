// The steps of one namespace, in the order in which nothing breaks: see, warn, credentials, proof, and only then fewer secrets.
import { INJECT_LABEL, STATIC_PULL_SECRETS_LABEL } from '../../../core/vocabulary.ts';
import { shellWord } from '../../trust/quoting.ts';
import { canarySteps } from './canary.ts';
import { prewarmStep } from './prewarm.ts';
import { accountsStep, provisionerStep, workloadsStep } from './removal-steps.ts';
import { createCommand, kubectlIn, type PlanStep } from './plan-step.ts';
import type { Reference } from '../references.ts';
import type { JudgedPod, MigrationWorld } from '../coverage.ts';

/** Makes most pods, and is nobody for whom the policy makes an exception. */
const POD_MAKER = 'system:serviceaccount:kube-system:replicaset-controller';

/** Everything that is known of one namespace. */
export interface NamespaceFacts {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly pods: readonly JudgedPod[];
  readonly references: readonly Reference[];
  readonly world: MigrationWorld;
  /** As it was named to this command, for commands to copy. */
  readonly configFile: string;
}

export interface NamespaceSteps {
  /** Up to pods that pull without static secrets of workloads. */
  readonly first: readonly PlanStep[];
  /** Entries that the provisioner wrote go behind the stop of its controller, and `enforce` behind them. */
  readonly last: readonly PlanStep[];
}

export function stepsFor(facts: NamespaceFacts): NamespaceSteps {
  const { labels, references } = facts;
  const mode = labels[STATIC_PULL_SECRETS_LABEL];
  const isStrict = mode === 'warn' || mode === 'enforce';
  const first: PlanStep[] = [];
  if (!isStrict && mode !== 'audit') first.push(auditStep(facts));
  if (!isStrict) first.push(warnStep(facts));
  const prewarm = prewarmStep(facts);
  if (prewarm) first.push(prewarm);
  if (labels[INJECT_LABEL] !== 'enabled') first.push(injectStep(facts, prewarm !== undefined));
  if (references.some(({ stays }) => stays === undefined)) first.push(...canarySteps(facts));
  const workloads = workloadsStep(facts);
  if (workloads) first.push(workloads);
  const own = accountsStep(facts);
  if (own) first.push(own);
  const provisioners = provisionerStep(facts);
  const last = provisioners ? [provisioners] : [];
  const isClean = references.every(({ stays }) => stays === undefined);
  if (mode !== 'enforce' && isClean) last.push(enforceStep(facts));
  return provisioners ? { first, last } : { first: [...first, ...last], last: [] };
}

function labelCommand({ name }: NamespaceFacts, label: string): string {
  return `kubectl label namespace ${shellWord(name)} ${label} --overwrite`;
}

/** What the label says now, or that there is none. */
function labelBack(facts: NamespaceFacts, key: string): string[] {
  const present = facts.labels[key];
  return [labelCommand(facts, present === undefined ? `${key}-` : `${key}=${present}`)];
}

function auditCommand({ name, configFile }: NamespaceFacts): string {
  return `keyless-pull audit -n ${shellWord(name)} --config ${shellWord(configFile)}`;
}

function auditStep(facts: NamespaceFacts): PlanStep {
  return {
    step: 'audit',
    namespace: facts.name,
    does: 'Static pull secrets are noted in audit log, metrics and events. Nobody sees a difference.',
    commands: [labelCommand(facts, `${STATIC_PULL_SECRETS_LABEL}=audit`)],
    proof: {
      text: 'The list is what you expect, and keyless_pull_findings_total counts the same for a day.',
      commands: [auditCommand(facts)],
    },
    back: labelBack(facts, STATIC_PULL_SECRETS_LABEL),
  };
}

function warnStep(facts: NamespaceFacts): PlanStep {
  return {
    step: 'warn',
    namespace: facts.name,
    does: 'Who applies a manifest with a static pull secret is told so, with the cure. Nothing is denied.',
    commands: [labelCommand(facts, `${STATIC_PULL_SECRETS_LABEL}=warn`)],
    proof: {
      text: 'kubectl apply prints the warning, and everything that was deployed still is.',
      commands: [`${kubectlIn(facts.name)} get pods`],
    },
    back: labelBack(facts, STATIC_PULL_SECRETS_LABEL),
  };
}

function injectStep(facts: NamespaceFacts, isPrewarmed: boolean): PlanStep {
  const { name } = facts;
  const wait = `${kubectlIn(name)} wait --for=condition=Ready pullcred --all --timeout=120s`;
  return {
    step: 'inject',
    namespace: name,
    does:
      'New pods get their own credential besides the static secret. Running pods are not touched. ' +
      (isPrewarmed
        ? 'The credentials of prewarmed accounts are made now.'
        : 'The first pod of an account has its credential made: the canary below.'),
    commands: [labelCommand(facts, `${INJECT_LABEL}=enabled`)],
    proof: {
      text:
        'Every PullCredential is Ready. That pods run proves nothing yet: the kubelet tries their static secret for ' +
        'the same host first.',
      commands: [
        ...(isPrewarmed ? [wait] : []),
        `kubectl get pullcred -n ${shellWord(name)}`,
        `keyless-pull status -n ${shellWord(name)}`,
      ],
    },
    back: labelBack(facts, INJECT_LABEL),
  };
}

function enforceStep(facts: NamespaceFacts): PlanStep {
  const { name } = facts;
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'keyless-pull-denied', namespace: name },
    spec: {
      imagePullSecrets: [{ name: 'some-static-secret' }],
      containers: [{ name: 'denied', image: 'registry.invalid/denied:1' }],
    },
  };
  return {
    step: 'enforce',
    namespace: name,
    does: 'Pods with a static pull secret are denied from now on.',
    commands: [auditCommand(facts), labelCommand(facts, `${STATIC_PULL_SECRETS_LABEL}=enforce`)],
    proof: {
      text:
        'audit finds nothing, and this pod (a dry run) is denied with the sentence that says why. It is asked for as the ' +
        'controller that makes pods of Deployments: a cluster administrator passes, and proves nothing.',
      commands: [createCommand(name, `--dry-run=server --as=${POD_MAKER} `, pod)],
    },
    back: [labelCommand(facts, `${STATIC_PULL_SECRETS_LABEL}=warn`)],
  };
}
