// keyless-pull generate rbac: the right of nodes to ask for the audiences of rules with delivery kubelet.
import { stringify } from 'yaml';
import { loadConfig } from '../config.ts';
import { Problem } from '../problem.ts';
import { audienceRights } from './kubelet/audience-rights.ts';
import { writeResult, type CommandIo, type ExitCode, type OutputForm } from './output.ts';

export interface GenerateRbacOptions {
  readonly config: string;
  readonly output: OutputForm;
}

/** @throws Problem usage, config-invalid or file-unreadable */
export async function generateRbac(
  { config, output }: GenerateRbacOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const { rules } = loadConfig(config);
  if (!rules.some(({ delivery }) => delivery.includes('kubelet')))
    throw new Problem('usage', `no rule of ${config} has delivery kubelet: nodes ask for no audience of it`);
  const { manifests, notes } = audienceRights(rules);
  const list = { apiVersion: 'v1', kind: 'List', items: manifests };
  writeResult(io, output, list, () =>
    manifests.map((one) => `---\n${stringify(one, { lineWidth: 0 })}`).join(''),
  );
  for (const note of notes) io.err(`${note}\n`);
  return 0;
}
