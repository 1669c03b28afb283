// Account and namespace from a file, for doctor where there is no cluster; everything else is not asked offline.
import { viewAccount, viewNamespace } from '../../core/pod-view.ts';
import { readManifests } from '../manifests.ts';
import type { CommandIo } from '../output.ts';
import type { DoctorCluster } from './doctor-cluster.ts';

/** @throws Problem file-unreadable, or usage for what is no YAML */
export async function createFileCluster(
  file: string,
  namespace: string,
  io: CommandIo,
): Promise<DoctorCluster> {
  const manifests = await readManifests(file, namespace, io);
  const find = (kind: string, name: string, within?: string) =>
    manifests.find((one) => one.kind === kind && one.name === name && (!within || one.namespace === within));
  const notAsked = async () => ({ kind: 'refused' }) as const;
  return {
    greeting: async () => `${file} stands for the cluster`,
    async account(of, name) {
      const found = find('ServiceAccount', name, of);
      return found
        ? { kind: 'found', thing: { ...viewAccount(found.object), namespace: of } }
        : { kind: 'missing' };
    },
    async namespace(name) {
      const found = find('Namespace', name);
      // A file need not have it, and whether there is one in some cluster it cannot say.
      return found ? { kind: 'found', thing: viewNamespace(found.object) } : { kind: 'refused' };
    },
    discovery: notAsked,
    fenceAudiences: notAsked,
    token: notAsked,
  };
}
