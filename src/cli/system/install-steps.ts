// Is it there, is it whole: API server, CRD, config, replicas and their images, and what each replica says of itself.
import { parseConfig } from '../../config.ts';
import { fieldsOf, textOf } from '../../core/fields.ts';
import { isProblem } from '../../problem.ts';
import { failed, ok, skipped, warning } from '../doctor/step.ts';
import { OLDEST_API_VERSION } from './expected.ts';
import { pathTo } from '../../cluster/kube-connection.ts';
import {
  deploymentsOf,
  listIn,
  metricsPortOf,
  nameOf,
  someOf,
  type SystemCheck,
  type SystemLook,
} from './step.ts';
import type { Finding } from '../doctor/step.ts';

export const installSteps: readonly SystemCheck[] = [
  { step: 'api-version', run: checkApiVersion },
  { step: 'crd', run: checkCrd },
  { step: 'config', run: checkConfig },
  { step: 'replicas', run: checkReplicas },
  { step: 'versions', run: checkVersions },
  { step: 'readyz', run: checkReadyz },
];

async function checkApiVersion({ get }: SystemLook): Promise<Finding> {
  const reply = await get('/version');
  if (reply.kind !== 'found') return skipped('you may not read /version');
  const { major, minor, gitVersion } = fieldsOf(reply.thing);
  const [one, two] = [Number.parseInt(textOf(major), 10), Number.parseInt(textOf(minor), 10)];
  const told = /^v[\w.+-]{1,64}$/.test(textOf(gitVersion)) ? textOf(gitVersion) : `v${one}.${two}`;
  const { major: least, minor: leastMinor } = OLDEST_API_VERSION;
  if (one > least || (one === least && two >= leastMinor)) return ok(`Kubernetes ${told}`);
  return failed(
    `Kubernetes ${told} is older than ${least}.${leastMinor}`,
    `scheduling gates and ValidatingAdmissionPolicies are stable from ${least}.${leastMinor} on: upgrade the cluster`,
  );
}

/** What this version writes and older ones did not know. */
const NEWEST_FIELD = 'tokenKeyID';
const APPLY_CRD = 'kubectl apply --server-side -f webhook-config/crd.yaml';

async function checkCrd({ get }: SystemLook): Promise<Finding> {
  const reply = await get(
    '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pullcredentials.keyless-pull.dev',
  );
  if (reply.kind === 'refused') return skipped('you may not read CustomResourceDefinitions');
  if (reply.kind === 'missing') return failed('this cluster knows no PullCredentials', APPLY_CRD);
  const version = listIn(reply.thing, 'spec', 'versions')
    .map(fieldsOf)
    .find(({ name }) => name === 'v1alpha1');
  const conditions = listIn(reply.thing, 'status', 'conditions').map(fieldsOf);
  const isEstablished = conditions.some(({ type, status }) => type === 'Established' && status === 'True');
  if (version?.['served'] !== true || !isEstablished)
    return failed('PullCredential v1alpha1 is not served', APPLY_CRD);
  if (!JSON.stringify(version['schema']).includes(`"${NEWEST_FIELD}"`))
    return failed(
      `the CRD is of an earlier version: it drops status.${NEWEST_FIELD}, which this one writes`,
      APPLY_CRD,
    );
  return ok('PullCredential v1alpha1 is served, with every field of this version');
}

/** `--config` has been read before; without it the installation's own counts. */
async function checkConfig(look: SystemLook): Promise<Finding> {
  const { config, get, ownNamespace } = look;
  if (config) {
    look.installedConfig = config;
    return ok(`the file given by --config has ${config.rules.length} rules`);
  }
  const name = `${ownNamespace}/keyless-pull-config`;
  const reply = await get(
    `/api/v1/namespaces/${encodeURIComponent(ownNamespace)}/configmaps/keyless-pull-config`,
  );
  if (reply.kind === 'refused') return skipped(`you may not read ConfigMap ${name}: pass --config`);
  if (reply.kind === 'missing') return skipped(`there is no ConfigMap ${name}: pass --config`);
  try {
    const installed = parseConfig(textOf(fieldsOf(fieldsOf(reply.thing)['data'])['config.yaml']), name);
    look.installedConfig = installed;
    return ok(`ConfigMap ${name} has ${installed.rules.length} rules`);
  } catch (error) {
    if (!isProblem(error, 'config-invalid')) throw error;
    return failed(
      error.message,
      'keyless-pull check-config lists every fault of it; replicas keep the last good one',
    );
  }
}

async function checkReplicas(look: SystemLook): Promise<Finding> {
  const reply = await deploymentsOf(look);
  if (reply.kind !== 'found') return skipped(`you may not list Deployments in ${look.ownNamespace}`);
  if (reply.thing.length === 0)
    return failed(
      `there is no Deployment of keyless-pull in ${look.ownNamespace}`,
      'pass --own-namespace if it runs elsewhere, or install it: kubectl apply -k webhook-config',
    );
  const few: string[] = [];
  const told = reply.thing.map((deployment) => {
    const wanted = Number(fieldsOf(fieldsOf(deployment)['spec'])['replicas'] ?? 1);
    const ready = Number(fieldsOf(fieldsOf(deployment)['status'])['readyReplicas'] ?? 0);
    if (ready < wanted) few.push(nameOf(deployment));
    return `${nameOf(deployment)}: ${ready} of ${wanted} ready`;
  });
  if (few.length === 0) return ok(told.join(', '));
  return failed(
    told.join(', '),
    `kubectl -n ${look.ownNamespace} describe deployment ${few.join(' ')}; kubectl -n ${look.ownNamespace} logs deployment/${few[0]}`,
  );
}

async function checkVersions(look: SystemLook): Promise<Finding> {
  const pods = await podsOf(look);
  if (!pods) return skipped(`you may not list pods in ${look.ownNamespace}`);
  if (pods.length === 0) return skipped('no replica runs');
  const images = new Set(
    pods.flatMap((pod) =>
      listIn(pod, 'spec', 'containers')
        .map(fieldsOf)
        .filter(({ name }) => name === 'keyless-pull')
        .map(({ image }) => textOf(image)),
    ),
  );
  if (images.size === 1) return ok(`all replicas run ${[...images].join()}`);
  return warning(
    `replicas run ${images.size} images: ${someOf([...images])}`,
    `wait for the rollout to end: kubectl -n ${look.ownNamespace} rollout status deployment`,
  );
}

async function podsOf({ list, ownNamespace }: SystemLook): Promise<readonly unknown[] | undefined> {
  const query = { labelSelector: 'app.kubernetes.io/name=keyless-pull' };
  const reply = await list(`/api/v1/namespaces/${encodeURIComponent(ownNamespace)}/pods`, query);
  return reply.kind === 'found' ? reply.thing : undefined;
}

/** Through the API server, which a kubelet must let in: what cannot be reached so says nothing against the replica. */
async function checkReadyz(look: SystemLook): Promise<Finding> {
  const pods = (await podsOf(look)) ?? [];
  if (pods.length === 0) return skipped('no replica runs that you may see');
  const unready: { readonly name: string; readonly path: string }[] = [];
  let reached = 0;
  for (const pod of pods) {
    const path = `${pathTo`/api/v1/namespaces/${look.ownNamespace}/pods/${nameOf(pod)}`}:${metricsPortOf(pod)}/proxy/readyz`;
    const answer = await look.cluster
      .read(path)
      .then(() => 'ready' as const)
      .catch((error: unknown) => {
        if (!isProblem(error)) throw error;
        // An API server that does not reach the port says 503 too, and gives a reason.
        return error.details.upstream === '503' ? 'unready' : 'unreached';
      });
    if (answer !== 'unreached') reached++;
    if (answer === 'unready') unready.push({ name: nameOf(pod), path });
  }
  if (unready.length > 0)
    return failed(
      `not ready by their own word: ${someOf(unready.map(({ name }) => name))}`,
      `kubectl get --raw ${unready[0]?.path} says what is missing`,
    );
  if (reached < pods.length)
    return skipped(`${pods.length - reached} of ${pods.length} replicas cannot be reached by you`);
  return ok(`${reached} of ${pods.length} replicas say that they are ready`);
}
