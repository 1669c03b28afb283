// A team opts in and applies a Deployment and a bare pod; what is stored is compared with what was applied.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { CREDENTIALS_ANNOTATION, GATE, MANAGED_LABEL } from '../../../src/core/vocabulary.ts';
import { waitUntil } from '../../processes.ts';
import { DEPLOYMENT_REPLICAS, OTHER_TEAM, TEAM } from '../manifests.ts';
import type { KubeObject } from '../pod-difference.ts';
import { applied, changedPaths, differenceLines, isSame, manifestAsStored } from '../pod-difference.ts';
import type { Stage, Step } from '../stage.ts';

const HELD_DEADLINE_MS = 30_000;
const DRY_RUN_EVERY_MS = 250;

/** JSON pointers of what keyless-pull adds to this pod, sorted. */
const ADDED = [
  '/metadata/annotations',
  `/metadata/labels/${MANAGED_LABEL.replaceAll('/', '~1')}`,
  '/spec/imagePullSecrets',
  '/spec/schedulingGates',
];

export const optIn: Step = {
  title: '3  A team opts in',
  sentence: `Namespace ${TEAM} wants credentials for its pods, and no static pull secrets any more.`,
  concerns: ['keyless-pull', 'kube-apiserver'],
  async run(stage) {
    const { screen, shell } = stage;
    screen.say('shop.yaml');
    screen.output(readFileSync('shop.yaml', 'utf8'));
    await shell.kubectl(['apply', '-f', 'shop.yaml']);
    await screen.check('pods of this namespace would be held from now on (asked by dry run)', () =>
      waitForGating(stage),
    );

    screen.say(
      `\nAn ordinary Deployment: ${DEPLOYMENT_REPLICAS} pods of ServiceAccount web, an image of the registry.`,
    );
    await shell.kubectl(['apply', '-f', 'web.yaml', '-n', TEAM]);

    screen.say('\nThe bare pod, first as a dry run where nobody opted in: what any API server stores of it.');
    await shell.kubectl(['create', 'namespace', OTHER_TEAM]);
    await shell.kubectl(['create', 'serviceaccount', 'report', '-n', OTHER_TEAM]);
    const create = ['create', '-f', 'report.yaml', '-o', 'json'];
    const flags = [...create, '-n', OTHER_TEAM, '--dry-run=server'];
    const without: KubeObject = JSON.parse((await shell.kubectl(flags, { show: 'size' })).stdout);
    const manifest: KubeObject = parse(readFileSync('report.yaml', 'utf8'));
    screen.expect(
      'nothing of ours is in it',
      !JSON.stringify(without).includes('keyless-pull'),
      JSON.stringify(without, null, 2),
    );

    screen.say(`\nAnd now for real in ${TEAM}. As applied and as stored, without what both have by default:`);
    const { stdout } = await shell.kubectl([...create, '-n', TEAM], { show: 'size' });
    const stored = manifestAsStored(manifest, without, JSON.parse(stdout));
    screen.difference(differenceLines(manifest, stored));
    const paths = changedPaths(manifest, stored);
    screen.expect(
      'the pod was given a reference, a gate, a label and an annotation, and nothing else was changed',
      paths.join() === ADDED.join(),
      `changed were ${paths.join(', ')}`,
    );
    const { annotations } = stored['metadata'] as { annotations: Record<string, string> };
    const { imagePullSecrets, schedulingGates } = stored['spec'] as Record<string, { name: string }[]>;
    screen.expect(
      'it names one Secret, its annotation says so, and the gate is ours',
      imagePullSecrets?.length === 1 &&
        annotations[CREDENTIALS_ANNOTATION]?.endsWith(`=${imagePullSecrets[0]?.name}`) === true &&
        schedulingGates?.map(({ name }) => name).join() === GATE,
      JSON.stringify({ annotations, imagePullSecrets, schedulingGates }),
    );
    await renderTheSame(stage, manifest, stored);
  },
};

/** keyless-pull gates pods only while it sees a worker at work: for that it looks every two seconds. */
async function waitForGating({ controlPlane }: Stage): Promise<void> {
  const pod: KubeObject = {
    ...parse(readFileSync('report.yaml', 'utf8')),
    metadata: { generateName: 'dry-run-' },
  };
  await waitUntil(
    'pods are held',
    async () => {
      const path = `/api/v1/namespaces/${TEAM}/pods?dryRun=All`;
      const { status, body } = await controlPlane.admin('POST', path, pod);
      if (status !== 201) throw new Error(`a dry run was answered with ${status}: ${JSON.stringify(body)}`);
      if (JSON.stringify(body).includes('schedulingGates')) return true;
      await sleep(DRY_RUN_EVERY_MS);
      return false;
    },
    { deadlineMs: HELD_DEADLINE_MS },
  );
}

/** The same program without any cluster, on the same file. */
async function renderTheSame(
  { screen, shell }: Stage,
  manifest: KubeObject,
  stored: KubeObject,
): Promise<void> {
  screen.say('\nWhat the webhook does can be known before, without a cluster:');
  const line = `render -f report.yaml --account shop.yaml -n ${TEAM} --config keyless-pull.yaml`;
  const { stdout } = await shell.keylessPull(line.split(' '), { show: 'nothing' });
  const { patch }: { patch: { op: string; path: string; value: unknown }[] } = JSON.parse(stdout);
  for (const { op, path, value } of patch) screen.output(`${op} ${path} ${JSON.stringify(value)}`);
  screen.expect(
    'keyless-pull render agrees with what was stored',
    isSame(applied(manifest, patch), stored),
    `its patch makes ${JSON.stringify(applied(manifest, patch))}`,
  );
}
