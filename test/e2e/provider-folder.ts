// What an administrator puts on nodes: the plugin under a name for each provider, the rules, and the kubelet's config as
// `generate kubelet-config` writes it.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const PROVIDERS = ['keyless-pull-team', 'keyless-pull-other'];

const PROJECT = join(import.meta.dirname, '..', '..');

export interface ProviderFolder {
  /** `--image-credential-provider-bin-dir` */
  readonly programs: string;
  /** The rules, as the plugin reads them. */
  readonly rulesFile: string;
  /** Names of the providers that were run, in order. */
  ran(): string[];
  /** Path of the config, as `generate kubelet-config` wrote it. */
  generate(form: 'yaml' | 'json' | 'directory', from?: string): string;
}

/** Makes the folder in `folder`; `rules` is the config of the plugin. */
export function makeProviderFolder(folder: string, rules: string): ProviderFolder {
  const programs = join(folder, 'programs');
  const rulesFile = join(folder, 'node-config.yaml');
  const ranFile = join(folder, 'ran');
  mkdirSync(programs);
  writeFileSync(rulesFile, rules);
  const plugin = join(programs, 'keyless-pull-credential-provider');
  // It says that it ran; nothing else is between the kubelet and the plugin.
  const script = [
    '#!/bin/sh',
    `basename "$0" >> ${ranFile}`,
    `exec ${process.execPath} ${PROJECT}/src/plugin/main.ts "$@"`,
  ];
  writeFileSync(plugin, `${script.join('\n')}\n`);
  chmodSync(plugin, 0o755);
  for (const name of PROVIDERS) symlinkSync('keyless-pull-credential-provider', join(programs, name));
  return {
    programs,
    rulesFile,
    ran: () => (existsSync(ranFile) ? readFileSync(ranFile, 'utf8').split('\n').filter(Boolean) : []),
    generate(form, from) {
      const output = join(folder, `providers${form === 'directory' ? '' : `.${form}`}`);
      const flags = [
        ...['generate', 'kubelet-config', '--config', rulesFile],
        ...['--bin-dir', programs, '--plugin-config', rulesFile],
        ...(form === 'directory' ? ['--directory', output] : ['--format', form]),
        ...(from ? ['--from', from] : []),
      ];
      const { status, stdout, stderr } = runCli(flags);
      if (status !== 0) throw new Error(`generate kubelet-config ended with ${status}: ${stderr}`);
      if (form !== 'directory') writeFileSync(output, stdout);
      return output;
    },
  };
}

export function runCli(flags: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const program = join(PROJECT, 'src/cli/main.ts');
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...flags], { encoding: 'utf8' });
  return { status, stdout, stderr };
}
