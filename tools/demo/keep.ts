// What --keep prints: where everything is, and what may be worth trying.
import { findOnPath } from '../command-lines.ts';
import { OTHER_TEAM, TEAM } from './manifests.ts';
import { AUDIENCE, REGISTRY_SERVICE } from './program-configs.ts';
import { TAG } from './push-images.ts';
import { PROJECT, quoted } from './shell.ts';
import type { Stage } from './stage.ts';

/** Each line can be copied into another terminal as it is. */
export function printWhatToTry(stage: Stage): void {
  const { screen, controlPlane, registry, run, webhookUrl, metricsUrl, tokenUrl } = stage;
  const hasKubectl = findOnPath('kubectl') === controlPlane.kubectlPath;
  const scope = `repository:${TEAM}/report:pull`;
  const manifest = `${registry.url}/v2/${TEAM}/report/manifests/${TAG}`;
  screen.heading(
    'It stays up',
    'Until Ctrl-C in this terminal, which deletes everything. To try in another one:',
  );
  screen.output(`\
cd ${quoted(run.folder)}
export KUBECONFIG=${quoted(controlPlane.kubeconfig)}
${hasKubectl ? '' : `alias kubectl=${quoted(controlPlane.kubectlPath)}\n`}
# what there is
kubectl get pods,pullcred,secrets -n ${TEAM}
kubectl describe pullcred -n ${TEAM}
kubectl get events -n ${TEAM}
tail -f keyless-pull.log token-server.log

# minted anew: another record, another Secret
kubectl delete pullcred --all -n ${TEAM} && kubectl get pullcred -n ${TEAM} --watch

# a pod of your own, in ${TEAM} and in ${OTHER_TEAM} (without a kubelet: bound, never started; so deleting takes --force)
kubectl run mine -n ${TEAM} --image=${registry.host}/${TEAM}/web:${TAG} --overrides='{"spec":{"serviceAccountName":"web"}}'
kubectl delete pod mine -n ${TEAM} --force

# a registry token for the password of an account, and the image's manifest with it
PASSWORD=$(kubectl create token report -n ${TEAM} --audience=${AUDIENCE})
TOKEN=$(curl -s --cacert ca.pem -u "${TEAM}/report:$PASSWORD" '${tokenUrl}?service=${REGISTRY_SERVICE}&scope=${scope}' | jq -r .token)
curl -s --cacert ca.pem -H "Authorization: Bearer $TOKEN" -H 'Accept: application/vnd.oci.image.manifest.v1+json' ${manifest}

# how keyless-pull is; edit keyless-pull.yaml and see it reloaded within five seconds
curl -s --cacert ca.pem ${webhookUrl}/readyz
curl -s ${metricsUrl} | grep ^keyless_pull_
node ${quoted(`${PROJECT}/src/cli/main.ts`)} check-config --config keyless-pull.yaml`);
  screen.say('');
}
