// With a real node: the kubelet pulls with the Secrets, and the pods run.
import { DEPLOYMENT_REPLICAS, TEAM } from '../manifests.ts';
import type { Step } from '../stage.ts';
import { read } from '../stage.ts';

/** Of the Deployment, one more than at first, and the bare pod. */
const PODS = DEPLOYMENT_REPLICAS + 2;

export const podsRun: Step = {
  title: '5a  The pods run',
  sentence: 'The kubelet reads the Secret that each pod names, and containerd pulls with it.',
  concerns: ['kubelet', 'containerd'],
  needsNode: true,
  async run(stage) {
    const { screen, shell } = stage;
    const wait = ['wait', '--for=condition=Ready', 'pods', '--all', '-n', TEAM, '--timeout=90s'];
    await screen.check(`all ${PODS} pods are Running`, async () => {
      const { stdout } = await shell.kubectl(wait);
      const ready = stdout.split('\n').filter((line) => line.endsWith('condition met')).length;
      if (ready !== PODS) throw new Error(`${ready} of them are`);
    });
    await shell.kubectl(['get', 'pods', '-n', TEAM, '-o', 'wide']);
    await screen.check('and no pull failed on the way, say the events', async () => {
      const path = `/apis/events.k8s.io/v1/namespaces/${TEAM}/events`;
      const { items } = await read<{ items: { reason: string; note: string }[] }>(stage, path);
      const pulled = items.filter(({ reason }) => reason === 'Pulled');
      const failed = items.filter(({ reason }) => reason === 'Failed' || reason === 'BackOff');
      if (pulled.length === 0) throw new Error('there is no event of a pull');
      if (failed.length > 0) throw new Error(failed.map(({ note }) => note).join('; '));
    });
  },
};
