// The gate goes when the credential is there, and the scheduler takes over. What came first is read from the audit log.
import { WORKER_USER } from '../../install.ts';
import type { AuditEvent } from '../../audit-log.ts';
import { readAuditLog } from '../../audit-log.ts';
import { waitUntil } from '../../processes.ts';
import { ACCOUNTS, DEPLOYMENT_REPLICAS, TEAM } from '../manifests.ts';
import type { Stage, Step } from '../stage.ts';
import { podsOfTeam, releasesOfTeam } from '../stage.ts';

const RELEASE_DEADLINE_MS = 30_000;
const HELD_PODS = DEPLOYMENT_REPLICAS + 1;

export const gate: Step = {
  title: '5  The gate goes',
  sentence:
    'The worker takes its gate away once the Secret is filled, and the scheduler sees the pod. Without a kubelet (--node ' +
    'has one) bound to a node and Pending is as far as a pod can come.',
  concerns: ['keyless-pull', 'kube-scheduler'],
  async run(stage) {
    const { screen, shell } = stage;
    await screen.check(
      `all ${HELD_PODS} pods are released`,
      async () => {
        const areReleased = async () => (await releasesOfTeam(stage)).size === HELD_PODS;
        await waitUntil('the pods are released', areReleased, { deadlineMs: RELEASE_DEADLINE_MS });
        return releasesOfTeam(stage);
      },
      heldFor,
    );
    await screen.check('the scheduler has bound them', () => waitForBound(stage, HELD_PODS));
    await shell.kubectl(['get', 'events', '-n', TEAM, '--field-selector=involvedObject.kind=Pod']);
    await shell.kubectl(['get', 'pods', '-n', TEAM, '-o', 'wide']);
    await expectOrder(stage);

    screen.say('\nA pod that comes when its credential is there already need not wait:');
    const replicas = DEPLOYMENT_REPLICAS + 1;
    await shell.kubectl(['scale', 'deployment/web', `--replicas=${replicas}`, '-n', TEAM]);
    await screen.check('one more pod, bound without having been held', async () => {
      await waitForBound(stage, HELD_PODS + 1);
      const released = workOf(stage).filter(({ verb, resource }) => `${verb} ${resource}` === 'patch pods');
      if (released.length !== HELD_PODS)
        throw new Error(`${released.length} pods were held, not ${HELD_PODS}`);
    });
  },
};

/** The shortest and the longest time in the events' notes. */
function heldFor(releases: ReadonlyMap<string, string>): string {
  const times = [...releases.values()].map((note) => Number(/[0-9.]+(?= s$)/.exec(note)?.[0]));
  return `held for ${Math.min(...times).toFixed(1)} to ${Math.max(...times).toFixed(1)} s`;
}

async function waitForBound(stage: Stage, count: number): Promise<void> {
  const areBound = async () => {
    const pods = await podsOfTeam(stage);
    return (
      pods.length === count &&
      pods.every(({ nodeName, gates }) => nodeName === stage.nodeName && gates.length === 0)
    );
  };
  await waitUntil(`${count} pods are bound`, areBound, { deadlineMs: RELEASE_DEADLINE_MS });
}

async function expectOrder(stage: Stage): Promise<void> {
  const { screen } = stage;
  const work = workOf(stage);
  const pods = await podsOfTeam(stage);
  const at = (what: string) =>
    work.find(({ verb, resource, name }) => `${verb} ${resource} ${name}` === what)?.receivedAt ?? NaN;
  screen.expect(
    "the API server's audit log says: each Secret was filled before its pods were released",
    pods.every(({ name, pullSecrets }) => at(`update secrets ${pullSecrets[0]}`) <= at(`patch pods ${name}`)),
    work
      .map(({ verb, resource, name, receivedAt }) => `${receivedAt} ${verb} ${resource} ${name}`)
      .join('\n'),
  );
  const minted = work.filter(({ resource }) => resource === 'serviceaccounts/token');
  screen.expect(
    `it also says: ${HELD_PODS} pods of ${ACCOUNTS.length} accounts took ${ACCOUNTS.length} tokens`,
    minted.length === ACCOUNTS.length,
    `there were ${minted.length}`,
  );
}

/** What keyless-pull asked to do in the team's namespace and was let do, in order. */
function workOf({ controlPlane }: Stage): AuditEvent[] {
  return readAuditLog(controlPlane.auditLog ?? '').filter(
    ({ user, namespace, status, path }) =>
      user === WORKER_USER && namespace === TEAM && status < 300 && !path.includes('dryRun'),
  );
}
