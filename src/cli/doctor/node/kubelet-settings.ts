// The few settings of a kubelet that decide about pulls: from files that are given, or of the kubelet of this machine.
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';
import { Problem } from '../../../problem.ts';
import { reading, readText } from '../../../text-file.ts';

const verificationPolicies = [
  'NeverVerify',
  'NeverVerifyPreloadedImages',
  'NeverVerifyAllowlistedImages',
  'AlwaysVerify',
] as const;

export interface KubeletSettings {
  /** Where they come from, for people. */
  readonly source: string;
  readonly providerConfig: string | undefined;
  readonly binDir: string | undefined;
  readonly rootDir: string;
  readonly verification: (typeof verificationPolicies)[number];
  readonly allowlist: readonly string[];
  readonly gates: Readonly<Record<string, boolean>>;
}

export interface SettingsWish {
  readonly kubeletFlags?: string;
  readonly kubeletConfig?: string;
  readonly providerConfig?: string;
  readonly binDir?: string;
  readonly rootDir?: string;
}

const KubeletConfiguration = z.object({
  kind: z.literal('KubeletConfiguration'),
  imagePullCredentialsVerificationPolicy: z.enum(verificationPolicies).optional(),
  preloadedImagesVerificationAllowlist: z.array(z.string()).nullish(),
  featureGates: z.record(z.string(), z.boolean()).nullish(),
});

type KubeletConfiguration = z.output<typeof KubeletConfiguration>;

const USUAL_CONFIG = '/var/lib/kubelet/config.yaml';
const USUAL_ROOT = '/var/lib/kubelet';

/** @param proc where /proc is. @throws Problem file-unreadable or config-invalid */
export function kubeletSettings(wish: SettingsWish, proc: string): KubeletSettings {
  const isGiven = [wish.kubeletFlags, wish.kubeletConfig, wish.providerConfig].some(
    (one) => one !== undefined,
  );
  const running = isGiven ? undefined : runningKubelet(proc);
  const words = wish.kubeletFlags === undefined ? (running ?? []) : wordsOf(readText(wish.kubeletFlags));
  const flags = flagsOf(words);
  const file = wish.kubeletConfig ?? flags.get('config') ?? (isGiven ? undefined : USUAL_CONFIG);
  const isOptional = file === USUAL_CONFIG && wish.kubeletConfig === undefined && !flags.has('config');
  const text = file === undefined ? undefined : textOf(file, isOptional);
  const dropIns = dropInsOf(flags.get('config-dir'));
  const configs = [
    ...(text === undefined || file === undefined ? [] : [configOf(text, file)]),
    ...dropIns.map((one) => configOf(readText(one), one)),
  ];
  const sources = [
    wish.kubeletFlags ?? (running && 'the kubelet that runs here'),
    text === undefined ? undefined : file,
    ...dropIns,
  ].filter((one) => one !== undefined);
  return {
    source: sources.join(' and ') || 'no kubelet was found here, and no flags or config of one were given',
    providerConfig: wish.providerConfig ?? flags.get('image-credential-provider-config'),
    binDir: wish.binDir ?? flags.get('image-credential-provider-bin-dir'),
    rootDir: wish.rootDir ?? flags.get('root-dir') ?? USUAL_ROOT,
    verification:
      lastOf(configs, (one) => one.imagePullCredentialsVerificationPolicy) ?? 'NeverVerifyPreloadedImages',
    allowlist: lastOf(configs, (one) => one.preloadedImagesVerificationAllowlist) ?? [],
    gates: Object.assign(
      {},
      ...configs.map(({ featureGates }) => featureGates),
      gatesOf(flags.get('feature-gates') ?? ''),
    ) as Record<string, boolean>,
  };
}

function textOf(file: string, isOptional: boolean): string | undefined {
  try {
    return readText(file);
  } catch (error) {
    if (isOptional) return undefined;
    throw error;
  }
}

/** What the kubelet lays over its config: files that end in .conf, folder by folder in the order of their names. */
function dropInsOf(folder: string | undefined): string[] {
  if (folder === undefined) return [];
  return reading(folder, () => readdirSync(folder, { withFileTypes: true }))
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return dropInsOf(path);
      return entry.name.endsWith('.conf') ? [path] : [];
    });
}

function lastOf<Value>(
  configs: readonly KubeletConfiguration[],
  field: (config: KubeletConfiguration) => Value | null | undefined,
): Value | undefined {
  return configs.map(field).findLast((value) => value !== undefined && value !== null) ?? undefined;
}

function configOf(text: string, file: string): KubeletConfiguration {
  let raw: unknown;
  try {
    raw = parse(text, { prettyErrors: false, logLevel: 'error' });
  } catch {
    throw new Problem('config-invalid', `${file} is no YAML`);
  }
  const result = KubeletConfiguration.safeParse(raw);
  if (result.success) return result.data;
  const where = result.error.issues.map(({ path }) => path.join('.') || 'the document').join(', ');
  throw new Problem('config-invalid', `${file} is no KubeletConfiguration: ${where}`);
}

/** As in /proc/PID/cmdline, a unit file or an environment file: words with spaces, lines or NUL between them. */
function wordsOf(text: string): string[] {
  return text
    .split(/[\s\0]+/)
    .map((word) => word.replaceAll(/^["']|["']$|\\$/g, '').replace(/^[A-Z_]+=["']?(?=--)/, ''))
    .filter((word) => word !== '');
}

/** The last one wins, as for the kubelet. */
function flagsOf(words: readonly string[]): Map<string, string> {
  const flags = new Map<string, string>();
  for (const [at, word] of words.entries()) {
    const [, name, , value] = /^--?([a-z][a-z0-9-]*)(=(.*))?$/s.exec(word) ?? [];
    if (name === undefined) continue;
    const next = words[at + 1] ?? '';
    flags.set(name, value ?? (next.startsWith('-') ? 'true' : next));
  }
  return flags;
}

function gatesOf(text: string): Record<string, boolean> {
  const pairs = text.split(',').map((pair) => pair.split('='));
  return Object.fromEntries(
    pairs.filter(([name]) => name).map(([name = '', value]) => [name, value === 'true']),
  );
}

function runningKubelet(proc: string): string[] | undefined {
  let ids: string[];
  try {
    ids = readdirSync(proc).filter((name) => /^\d+$/.test(name));
  } catch {
    return undefined;
  }
  for (const id of ids) {
    try {
      const words = readFileSync(join(proc, id, 'cmdline'), 'utf8').split('\0');
      if (basename(words[0] ?? '') === 'kubelet') return words;
    } catch {
      // It has ended, or is none of ours to see.
    }
  }
  return undefined;
}
