// What the worker itself may not do, tried with its own kubeconfig.
import { WORKER_USER } from '../../install.ts';
import { apiClient } from '../../api-client.ts';
import { readAuditLog } from '../../audit-log.ts';
import { TEAM } from '../manifests.ts';
import { AUDIENCE } from '../program-configs.ts';
import type { Stage, Step } from '../stage.ts';
import { recordOf } from '../stage.ts';

const READING_VERBS = ['get', 'list', 'watch'];

export const boundaries: Step = {
  title: '9  What the worker cannot do',
  sentence:
    'It writes Secrets and asks for tokens of every account. RBAC and the fences leave it that much and no more.',
  concerns: ['kube-apiserver'],
  async run(stage) {
    const { screen, shell } = stage;
    const { secretName, status } = await recordOf(stage, 'report');

    async function checkRefusal(title: string, flags: readonly string[], ...words: string[]): Promise<void> {
      await screen.check(title, async () => {
        const { stderr } = await shell.kubectl(
          ['--kubeconfig', stage.workerKubeconfig, ...flags, '-n', TEAM],
          { code: 1 },
        );
        const missing = words.find((word) => !stderr.includes(word));
        if (missing !== undefined) throw new Error(`it was refused, but without the words "${missing}"`);
      });
    }

    await checkRefusal('it cannot read a Secret', ['get', 'secret', secretName], 'Forbidden');
    await checkRefusal('nor all of them', ['get', 'secrets'], 'Forbidden');
    await checkPatchTrick(stage, secretName);
    await checkRefusal(
      'it cannot write a Secret that is no pull secret of ours',
      ['create', 'secret', 'generic', 'planted', '--from-literal=key=value'],
      'keyless-pull-worker-secrets',
    );
    const token = [
      'create',
      'token',
      'web',
      '--bound-object-kind=Secret',
      `--bound-object-name=${secretName}`,
    ];
    const bound = [...token, `--bound-object-uid=${status?.secretUid}`];
    await checkRefusal(
      'it cannot have a token for the API server itself',
      [...bound, '--audience=https://kubernetes.default.svc'],
      'keyless-pull-worker-token-requests',
      'exactly one audience',
    );
    await checkRefusal(
      'nor a token for the registry that outlives the Secret',
      ['create', 'token', 'web', `--audience=${AUDIENCE}`],
      'keyless-pull-worker-token-requests',
      'bound to a Secret',
    );
    await checkRefusal('it cannot delete a pod', ['delete', 'pod', 'report'], 'Forbidden');
    screen.expect(
      'and in all this time it never asked to read a Secret but in this step, says the audit log',
      readsOfSecrets(stage) === 2,
      `it asked ${readsOfSecrets(stage)} times`,
    );
  },
};

/** kubectl reads before it patches and would be stopped there, so this one is sent as it is. */
async function checkPatchTrick(stage: Stage, secretName: string): Promise<void> {
  const { screen, controlPlane, workerToken } = stage;
  const path = `/api/v1/namespaces/${TEAM}/secrets/${secretName}`;
  const trick = [{ op: 'copy', from: '/data/.dockerconfigjson', path: '/metadata/uid' }];
  screen.say('sent as it is, because kubectl would try to read before it patches:');
  screen.output(`PATCH ${path}\n${JSON.stringify(trick)}`);
  await screen.check('nor have a JSON patch copy its content into an error message', async () => {
    const { status, body } = await apiClient(controlPlane, workerToken)<{ message: string }>(
      'PATCH',
      path,
      trick,
      { contentType: 'application/json-patch+json' },
    );
    screen.quote(`${status} ${body.message}`);
    if (status !== 403) throw new Error('it should have been answered with 403');
  });
}

function readsOfSecrets({ controlPlane }: Stage): number {
  return readAuditLog(controlPlane.auditLog ?? '').filter(
    ({ user, verb, resource }) =>
      user === WORKER_USER && resource === 'secrets' && READING_VERBS.includes(verb),
  ).length;
}
