// Images that are on the node already, and who is given them without a registry being asked: the kubelet's policy and its
// records of pulls (KEP-2535; pkg/kubelet/images/pullmanager).
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { parseImageReference } from '../../../core/image-reference.ts';
import { isProblem } from '../../../problem.ts';
import { readText } from '../../../text-file.ts';
import { factsOf, type Release } from '../../kubelet/releases.ts';
import { ok, warning, type Finding } from '../step.ts';
import type { KubeletSettings } from './kubelet-settings.ts';

const Coordinates = z.object({ namespace: z.string(), name: z.string() });
const PulledRecord = z.object({
  kind: z.literal('ImagePulledRecord'),
  imageRef: z.string(),
  credentialMapping: z
    .record(
      z.string(),
      z.object({
        kubernetesSecrets: z.array(Coordinates).nullish(),
        kubernetesServiceAccounts: z.array(Coordinates).nullish(),
        nodePodsAccessible: z.boolean().nullish(),
      }),
    )
    .nullish(),
});
type PulledRecord = z.output<typeof PulledRecord>;

const GATE = 'KubeletEnsureSecretPulledImages';

export interface PulledImages {
  readonly records: readonly PulledRecord[];
  /** Files that are no records. */
  readonly unread: readonly string[];
}

/** None where the folder is not there, or not ours to read. */
export function readPulledRecords({ rootDir }: KubeletSettings): PulledImages {
  const folder = join(rootDir, 'image_manager', 'pulled');
  const records: PulledRecord[] = [];
  const unread: string[] = [];
  let names: string[] = [];
  try {
    names = readdirSync(folder).toSorted();
  } catch {
    return { records, unread };
  }
  for (const name of names) {
    const record = recordIn(join(folder, name));
    if (record) records.push(record);
    else unread.push(join(folder, name));
  }
  return { records, unread };
}

function recordIn(path: string): PulledRecord | undefined {
  try {
    return PulledRecord.safeParse(JSON.parse(readText(path))).data;
  } catch (error) {
    if (error instanceof SyntaxError || isProblem(error)) return undefined;
    throw error;
  }
}

/** Of one image that is there: a warning where any pod of the node has it without a credential. */
export function judgePresent(
  image: string,
  settings: KubeletSettings,
  { records }: PulledImages,
  release: Release,
): Finding {
  if (!(settings.gates[GATE] ?? factsOf(release).verifiesPulledImages))
    return warning(`every pod: the feature gate ${GATE} is off`);
  if (settings.verification === 'NeverVerify')
    return warning('every pod: imagePullCredentialsVerificationPolicy is NeverVerify');
  const name = nameOf(image);
  const mapped = records.flatMap(({ credentialMapping }) => credentialMapping?.[name] ?? []);
  if (mapped.some(({ nodePodsAccessible }) => nodePodsAccessible))
    return warning('every pod: it was pulled without a credential, or with one of the node');
  if (settings.verification === 'NeverVerifyAllowlistedImages' && isAllowed(name, settings.allowlist))
    return warning('every pod: preloadedImagesVerificationAllowlist names it');
  if (mapped.length === 0 && settings.verification === 'NeverVerifyPreloadedImages')
    return warning(
      'every pod: the kubelet has no record of a pull, so it counts as preloaded (NeverVerifyPreloadedImages)',
    );
  if (mapped.length === 0) return ok('nobody: who asks for it is asked for a credential');
  const accounts = mapped.flatMap((one) => one.kubernetesServiceAccounts ?? []);
  const secrets = mapped.flatMap((one) => one.kubernetesSecrets ?? []);
  const of = (kind: string, list: readonly z.output<typeof Coordinates>[]) =>
    list.length === 0 ? [] : [`${kind} ${list.map((one) => `${one.namespace}/${one.name}`).join(', ')}`];
  const who = [...of('pods with ServiceAccount', accounts), ...of('pods with Secret', secrets)];
  return ok(who.length > 0 ? `${who.join('; ')}` : 'nobody: its record names no credential');
}

/** Names in records have neither tag nor digest, and Docker Hub's are written out. */
export function nameOf(image: string): string {
  const { host, repository } = parseImageReference(image);
  return `${host}/${repository}`;
}

/** One name, or all below one where it ends in `/*`. */
function isAllowed(name: string, allowlist: readonly string[]): boolean {
  return allowlist.some((entry) =>
    entry.endsWith('/*') ? name.startsWith(entry.slice(0, -1)) : name === entry,
  );
}
