// A pod that is never stored goes the whole way through the API server: does the patch of our webhook arrive, and does it
// survive what other webhooks do.
import { viewPod } from '../../core/pod-view.ts';
import { CREDENTIALS_ANNOTATION, INJECT_LABEL, SECRET_PREFIX } from '../../core/vocabulary.ts';
import { pathTo } from '../../cluster/kube-connection.ts';
import { isProblem } from '../../problem.ts';
import { failed, ok, skipped, warning, type Finding } from '../doctor/step.ts';
import { nameOf, type SystemCheck, type SystemLook } from './step.ts';

export const dryRunSteps: readonly SystemCheck[] = [{ step: 'dry-run', run: checkDryRun }];

async function checkDryRun(look: SystemLook): Promise<Finding> {
  const namespaces =
    look.tryIn === undefined
      ? await look.list('/api/v1/namespaces', { labelSelector: `${INJECT_LABEL}=enabled` })
      : undefined;
  if (namespaces?.kind === 'refused') return skipped('you may not list namespaces: pass --try-in');
  const namespace =
    look.tryIn ?? (namespaces?.kind === 'found' ? namespaces.thing.map(nameOf).find(Boolean) : undefined);
  if (namespace === undefined)
    return skipped(`no namespace has opted in: label one with ${INJECT_LABEL}=enabled, or pass --try-in`);
  const rule = look.installedConfig?.rules.find(
    ({ hosts, delivery, subjects, parameters }) =>
      hosts.some((host) => !host.includes('*')) &&
      delivery.includes('secret') &&
      !subjects &&
      Object.values(parameters ?? {}).every(({ from }) => from !== 'annotation'),
  );
  const host = rule?.hosts.find((each) => !each.includes('*'));
  let words = '';
  let answer: unknown;
  try {
    answer = await look.cluster.call({
      method: 'POST',
      path: pathTo`/api/v1/namespaces/${namespace}/pods`,
      query: { dryRun: 'All' },
      body: podFor(host ?? 'keyless-pull-doctor.invalid'),
      onRefused: (message) => (words = message),
    });
  } catch (error) {
    if (!isProblem(error)) throw error;
    return refused(words, namespace, error.details.missingRight);
  }
  return judged(answer, namespace, host);
}

function judged(answer: unknown, namespace: string, host: string | undefined): Finding {
  const pod = viewPod(answer);
  const told = pod.annotations[CREDENTIALS_ANNOTATION];
  if (host === undefined)
    return warning(
      `a pod in ${namespace} is admitted; no rule applies to every account, so that no patch could be tried`,
      'try a real pod: keyless-pull explain pod NAME',
    );
  if (told === undefined)
    return failed(
      `a pod in ${namespace} that pulls from ${host} came back without our patch: the webhook was not asked, or did not answer`,
      `see the steps webhooks and replicas; kubectl get namespace ${namespace} --show-labels must show ${INJECT_LABEL}=enabled`,
    );
  const names = [...told.matchAll(/=([a-z0-9.-]+)/g)].map(([, name = '']) => name);
  const lost = names.filter((name) => name.startsWith(SECRET_PREFIX) && !pod.pullSecrets.includes(name));
  if (lost.length > 0)
    return failed(
      `a later webhook took our reference out of the pod again (${lost.join(', ')})`,
      'see the step other-webhooks: exclude the namespaces that opted in there, or the field imagePullSecrets',
    );
  return ok(`a pod in ${namespace} that pulls from ${host} is given ${names.join(', ')}`);
}

/** What the API server said is read, and never shown: it may quote anything. */
function refused(words: string, namespace: string, missingRight: string | undefined): Finding {
  const hook = /failed calling webhook "([a-z0-9.-]+)"/.exec(words)?.[1];
  if (hook?.endsWith('.keyless-pull.dev')) return failed(...unreachable(hook, words));
  if (missingRight !== undefined)
    return skipped(`you have no right to ${missingRight}: pass --try-in, or --as`);
  if (/admission webhook "[a-z0-9.-]*keyless-pull\.dev" denied/.test(words))
    return failed(
      `${namespace} refuses even a pod without pull secrets: our webhook denies it`,
      'keyless-pull explain shows why',
    );
  const other = hook ?? /admission webhook "([a-z0-9.-]+)"/.exec(words)?.[1];
  return warning(
    `the dry-run pod is refused in ${namespace} by ${other === undefined ? 'somebody else' : `webhook ${other}`}, so that nothing can be told`,
    'pass another namespace with --try-in',
  );
}

function unreachable(hook: string, words: string): [string, string] {
  const told = (what: string) => `the API server cannot ask ${hook}: ${what}`;
  if (/x509|certificate/.test(words))
    return [told('it does not accept the served certificate'), 'see the step ca-bundle'];
  if (/no endpoints available|service "[^"]*" not found|no service port/.test(words))
    return [told('no replica stands behind the Service'), 'see the step replicas'];
  // The URL that is quoted says ?timeout= too.
  if (/deadline exceeded|Client\.Timeout|i\/o timeout/.test(words))
    return [
      told('no answer in time'),
      'let the control plane reach port 8443 of the replicas: NetworkPolicy, firewall rules of private clusters',
    ];
  return [
    told('nothing listens there'),
    'see the step replicas, and the Service or URL in the webhook configuration',
  ];
}

/** Fit for Pod Security's level `restricted`. */
function podFor(host: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'keyless-pull-doctor-' },
    spec: {
      securityContext: { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'doctor',
          image: `${host}/keyless-pull/doctor:never-pulled`,
          resources: { requests: { cpu: '1m', memory: '1Mi' }, limits: { cpu: '10m', memory: '16Mi' } },
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    },
  };
}
