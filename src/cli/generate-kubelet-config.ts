// keyless-pull generate kubelet-config: the kubelet's CredentialProviderConfig for the rules with delivery kubelet.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { loadConfig } from '../config.ts';
import { Problem } from '../problem.ts';
import { errnoText, readText } from '../text-file.ts';
import { carryOver, type CarriedOver } from './kubelet/carry-over.ts';
import { ownProviders } from './kubelet/own-providers.ts';
import { faultsTogether, invalid, parseProviderConfig, type Provider } from './kubelet/provider-config.ts';
import { factsOf, TOKEN_GATE, type Release } from './kubelet/releases.ts';
import { writeResult, type CommandIo, type ExitCode, type OutputForm } from './output.ts';

export interface GenerateKubeletConfigOptions {
  readonly config: string;
  readonly kubernetes: Release;
  /** An older config, which this one takes the place of. */
  readonly from?: string;
  readonly format: 'yaml' | 'json';
  /** Written there, one file for each provider. */
  readonly directory?: string;
  /** Where the kubelet looks for executables. */
  readonly binDir: string;
  /** Where the node has the rules. */
  readonly pluginConfig: string;
  readonly require: readonly string[];
  readonly output: OutputForm;
}

/** 1 if it is written but a provider of the older config will never run. @throws Problem usage, config-invalid or file-unreadable */
export async function generateKubeletConfig(
  options: GenerateKubeletConfigOptions,
  io: CommandIo,
): Promise<ExitCode> {
  const { isBeta } = factsOf(options.kubernetes);
  const { rules } = loadConfig(options.config);
  const wishes = {
    pluginConfig: options.pluginConfig,
    hasCacheType: isBeta,
    required: options.require,
  };
  const own = ownProviders(rules, wishes);
  if (own.length === 0)
    throw new Problem(
      'usage',
      `no rule of ${options.config} has delivery kubelet: nothing is left to the node`,
    );
  refuseUnknown(options.require, own);
  const carried = await carriedOver(options, own, isBeta, io);
  const faults = faultsTogether(carried.providers, isBeta);
  if (faults.length > 0) throw invalid(options.from ?? options.config, faults);

  const files = options.directory === undefined ? undefined : filesFor(carried.providers, options);
  if (files && options.directory !== undefined) writeFiles(options.directory, files);
  const text = files
    ? files.map(({ name }) => `${name}\n`).join('')
    : textOf(carried.providers, options.format);
  const links = own.map(
    ({ name }) => `ln -sf keyless-pull-credential-provider ${join(options.binDir, name)}`,
  );
  const notes = [...carried.changes, ...notesFor(options)];
  writeResult(
    io,
    options.output,
    {
      kubernetes: options.kubernetes,
      providers: carried.providers,
      links,
      notes,
      faults: carried.faults,
      text,
    },
    () => text,
  );
  for (const line of [
    ...notes,
    'on each node, one name of the plugin for each provider:',
    ...links,
    ...carried.faults,
  ])
    io.err(`${line}\n`);
  return carried.faults.length > 0 ? 1 : 0;
}

async function carriedOver(
  { from }: GenerateKubeletConfigOptions,
  providers: readonly Provider[],
  hasCacheType: boolean,
  io: CommandIo,
): Promise<CarriedOver> {
  if (from === undefined) return { providers, changes: [], faults: [] };
  const text = from === '-' ? await io.readStdin() : readText(from);
  return carryOver(parseProviderConfig(text, from), providers, hasCacheType);
}

function refuseUnknown(required: readonly string[], own: readonly Provider[]): void {
  const keys = own.flatMap(
    ({ tokenAttributes }) => tokenAttributes?.requiredServiceAccountAnnotationKeys ?? [],
  );
  const unknown = required.find((key) => !keys.includes(key));
  if (unknown !== undefined)
    throw new Problem('usage', `--require ${unknown}: no rule with delivery kubelet reads this annotation`);
}

function textOf(providers: readonly Provider[], format: 'yaml' | 'json'): string {
  const config = { apiVersion: 'kubelet.config.k8s.io/v1', kind: 'CredentialProviderConfig', providers };
  return format === 'json'
    ? `${JSON.stringify(config, undefined, 2)}\n`
    : stringify(config, { lineWidth: 0 });
}

interface NamedText {
  readonly name: string;
  readonly text: string;
}

/** The kubelet reads the files of a folder in the order of their names, and asks providers in the order in which it reads. */
function filesFor(providers: readonly Provider[], options: GenerateKubeletConfigOptions): NamedText[] {
  if (!factsOf(options.kubernetes).isBeta)
    throw new Problem('usage', '--directory: a kubelet of 1.33 reads one file, and no folder');
  return providers.map((provider, at) => ({
    name: `${String(at + 1).padStart(2, '0')}-${provider.name}.${options.format}`,
    text: textOf([provider], options.format),
  }));
}

function writeFiles(directory: string, files: readonly NamedText[]): void {
  try {
    mkdirSync(directory, { recursive: true });
    for (const { name, text } of files) writeFileSync(join(directory, name), text, { mode: 0o644 });
  } catch (cause) {
    throw new Problem('file-unreadable', `cannot write to ${directory}: ${errnoText(cause)}`, { cause });
  }
}

function notesFor({ kubernetes }: GenerateKubeletConfigOptions): string[] {
  if (factsOf(kubernetes).isBeta) return [];
  return [
    `kubelets of 1.33 need --feature-gates=${TOKEN_GATE}=true, which is alpha there and off; without it they do not start with this file`,
  ];
}
