// The least that could know the same: client-node, and one list of all PullCredentials. `bare-list.ts <kubeconfig>`
import { CustomObjectsApi, KubeConfig } from '@kubernetes/client-node';
import { API_GROUP, RECORD_PLURAL } from '../../src/core/vocabulary.ts';

const kubeconfig = new KubeConfig();
kubeconfig.loadFromFile(process.argv[2] ?? '');
const { items } = (await kubeconfig
  .makeApiClient(CustomObjectsApi)
  .listClusterCustomObject({ group: API_GROUP, version: 'v1alpha1', plural: RECORD_PLURAL })) as {
  items: object[];
};
process.stdout.write(`listed ${items.length}\n`);
