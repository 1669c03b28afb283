// The steps of uninstall, in the order in which nobody is ever blocked: first nobody is asked about pods any more, then nobody
// works, then what was held is let go, then goes what was issued, then the rights, and only then what fenced them.
import { isGated, viewPod } from '../../core/pod-view.ts';
import { isProblem, Problem } from '../../problem.ts';
import {
  findCrd,
  findFences,
  findRecords,
  findReplicas,
  findRights,
  findSecrets,
  findWebhooks,
  letGo,
  remove,
  type OurObject,
} from './objects.ts';
import type { Clock } from '../../clock.ts';
import type { UserCluster } from '../../cluster/user-cluster.ts';

export interface UninstallWish {
  readonly ownNamespace: string;
  readonly keepSecrets: boolean;
  readonly isDryRun: boolean;
}

export interface UninstallTools {
  readonly cluster: UserCluster;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export const uninstallSteps = [
  'webhooks',
  'replicas',
  'gates',
  'secrets',
  'records',
  'rights',
  'fences',
  'crd',
] as const;
export type UninstallStep = (typeof uninstallSteps)[number];

export interface StepResult {
  readonly step: UninstallStep;
  /** `stopped`: an earlier step failed, and this one would have done harm. */
  readonly outcome: 'done' | 'would be done' | 'nothing to do' | 'refused' | 'stopped';
  /** What was done to how many, in words. */
  readonly told: string;
  readonly objects: readonly string[];
  readonly problem?: string;
}

interface Work {
  readonly told: string;
  readonly objects: readonly string[];
  run(): Promise<void>;
}

type Plan = (tools: UninstallTools, wish: UninstallWish) => Promise<Work>;

const plans: Readonly<Record<UninstallStep, Plan>> = {
  webhooks: async ({ cluster }) => removal(cluster, 'deleted', await findWebhooks(cluster)),
  replicas: planReplicas,
  gates: planGates,
  secrets: planSecrets,
  records: async ({ cluster }) => removal(cluster, 'deleted', await findRecords(cluster)),
  fences: async ({ cluster }) => removal(cluster, 'deleted', await findFences(cluster)),
  crd: async ({ cluster }) => removal(cluster, 'deleted', await findCrd(cluster)),
  rights: async ({ cluster }) => removal(cluster, 'deleted', await findRights(cluster)),
};

/** One step's refusal ends those behind it: half an order is none. */
export async function runSteps(
  tools: UninstallTools,
  wish: UninstallWish,
  onStep: (result: StepResult) => void,
): Promise<readonly StepResult[]> {
  const results: StepResult[] = [];
  let stoppedBy: UninstallStep | undefined;
  for (const step of uninstallSteps) {
    const result =
      stoppedBy === undefined
        ? await runStep(step, tools, wish)
        : ({ step, outcome: 'stopped', told: `because ${stoppedBy} was refused`, objects: [] } as const);
    if (result.outcome === 'refused') stoppedBy = step;
    results.push(result);
    onStep(result);
  }
  return results;
}

async function runStep(step: UninstallStep, tools: UninstallTools, wish: UninstallWish): Promise<StepResult> {
  try {
    const { told, objects, run } = await plans[step](tools, wish);
    if (!wish.isDryRun) await run();
    const outcome = objects.length === 0 ? 'nothing to do' : wish.isDryRun ? 'would be done' : 'done';
    return { step, outcome, told, objects };
  } catch (error) {
    if (!isProblem(error)) throw error;
    return { step, outcome: 'refused', told: '', objects: [], problem: `${error.message} (${error.code})` };
  }
}

/** More would only wait inside for one another. */
const AT_ONCE = 8;

async function each<Item>(items: readonly Item[], work: (item: Item) => Promise<unknown>): Promise<void> {
  const next = items.values();
  const run = async () => {
    for (const item of next) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, run));
}

function removal(cluster: UserCluster, verb: string, found: readonly OurObject[]): Work {
  return {
    told: `${found.length} ${verb}`,
    objects: found.map(({ told }) => told),
    run: () => each(found, (object) => remove(cluster, object)),
  };
}

const LOOK_MS = 1_000;
/** A worker that is dead without having released its Lease has not renewed it for so long. */
const SILENT_MS = 7_000;
/** A replica's grace period, and room for a busy cluster. */
const STOPPED_MS = 90_000;

/** A worker that still works would write anew what the next steps take away. */
async function planReplicas(tools: UninstallTools, { ownNamespace }: UninstallWish): Promise<Work> {
  const { cluster } = tools;
  const work = removal(cluster, 'deleted', await findReplicas(cluster, ownNamespace));
  return {
    ...work,
    async run() {
      await work.run();
      await untilNobodyWorks(tools, ownNamespace);
    },
  };
}

/** @throws Problem cluster-conflict */
export async function untilNobodyWorks(
  {
    cluster,
    clock,
    signal,
  }: Pick<UninstallTools, 'clock' | 'signal'> & {
    readonly cluster: Pick<UserCluster, 'findLease'>;
  },
  ownNamespace: string,
): Promise<void> {
  const startedAt = clock.monotonic();
  let seen = { renewedAt: -1, since: startedAt };
  let lookedAt = startedAt;
  for (;;) {
    const lease = await cluster.findLease(ownNamespace);
    if (lease === undefined || lease.holder === '') return;
    const now = clock.monotonic();
    // What has kept us waiting so long may keep a worker waiting too, and is no silence of its.
    const isLate = now - lookedAt >= SILENT_MS / 2;
    if (isLate || lease.renewedAt !== seen.renewedAt) seen = { renewedAt: lease.renewedAt, since: now };
    lookedAt = now;
    if (now - seen.since >= SILENT_MS) return;
    if (now - startedAt >= STOPPED_MS)
      throw new Problem(
        'cluster-conflict',
        'a worker goes on working that is in no Deployment of keyless-pull: stop it, and call this again',
      );
    await clock.sleep(LOOK_MS, signal);
  }
}

async function planGates({ cluster }: UninstallTools): Promise<Work> {
  const pods = await cluster.pods(undefined, { fieldSelector: 'status.phase=Pending' });
  const held = pods.map((pod) => viewPod(pod)).filter((pod) => isGated(pod) && !pod.isDeleting);
  return {
    told: `${held.length} pods let go`,
    objects: held.map(({ namespace, name }) => `pods ${namespace}/${name}`),
    run: () => each(held, (pod) => cluster.releaseGate(pod)),
  };
}

async function planSecrets({ cluster }: UninstallTools, { keepSecrets }: UninstallWish): Promise<Work> {
  const found = await findSecrets(cluster);
  const objects = found.map(({ told }) => told);
  if (!keepSecrets) return removal(cluster, 'deleted', found);
  return {
    told: `${found.length} kept, and taken from their records`,
    objects,
    run: () => each(found, (secret) => letGo(cluster, secret)),
  };
}
