// The proof that counts: one pod per account that names nothing but its managed Secret, so that no static one can pull for it.
import { SECRET_PREFIX } from '../../../core/vocabulary.ts';
import { hostOfImage } from '../../../core/image-reference.ts';
import { shellWord } from '../../trust/quoting.ts';
import { createCommand, kubectlIn, type PlanStep } from './plan-step.ts';
import type { JudgedPod } from '../coverage.ts';
import type { NamespaceFacts } from './namespace-steps.ts';

/** Kubernetes' longest name of a pod that is also a host name. */
const LONGEST_NAME = 63;

export function canarySteps({ name, pods }: NamespaceFacts): PlanStep[] {
  const seen = new Set<string>();
  return pods.flatMap((judged) =>
    judged.plan.needs.flatMap(({ need }) => {
      const image = judged.pod.images.find((one) => hostOfImage(one.image) === need.host)?.image;
      const key = `${judged.account.name} ${need.host}`;
      // One that an account was given by annotation of somebody else is not ours until that somebody is gone.
      if (image === undefined || seen.has(key) || !need.secretName.startsWith(SECRET_PREFIX)) return [];
      seen.add(key);
      return canaryStep(name, judged, image, need.secretName, seen.size);
    }),
  );
}

function canaryStep(
  namespace: string,
  { account }: JudgedPod,
  image: string,
  secret: string,
  number: number,
): PlanStep {
  const start = `keyless-pull-canary-${number}-${account.name}`.slice(0, LONGEST_NAME);
  const canary = start.replace(/[.-]+$/, '').replaceAll('.', '-');
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: canary, namespace },
    spec: {
      serviceAccountName: account.name,
      automountServiceAccountToken: false,
      restartPolicy: 'Never',
      // The API server copies the account's list only into a pod that has none.
      imagePullSecrets: [{ name: secret }],
      securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'canary',
          image,
          // A node that has the image asks the registry all the same.
          imagePullPolicy: 'Always',
          // There is no such program: the image is pulled, and nothing of it ever runs.
          command: ['/keyless-pull-canary'],
          resources: { requests: { cpu: '1m', memory: '8Mi' }, limits: { memory: '64Mi' } },
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    },
  };
  const event = `involvedObject.name=${canary},reason=Pulled`;
  return {
    step: 'canary',
    namespace,
    does:
      `A pod of account ${account.name} with the managed Secret alone pulls ${image}. It names a program that does not ` +
      'exist, so nothing of the image runs: it ends as an error, and that is no failure of this step.',
    commands: [createCommand(namespace, '', pod)],
    proof: {
      text: `The event Pulled is there, and the PullCredential is Ready. Nodes that log in to this registry themselves would pull as well: try one that does not.`,
      commands: [
        `${kubectlIn(namespace)} wait --for=condition=Ready pullcred ${shellWord(secret)} --timeout=120s`,
        `${kubectlIn(namespace)} get events --field-selector ${event}`,
        `keyless-pull explain pod ${canary} -n ${shellWord(namespace)}`,
      ],
    },
    back: [`${kubectlIn(namespace)} delete pod ${canary}`],
  };
}
