// keyless-pull doctor node: what a kubelet would do for an image and an account, from its files, step by step.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { systemClock } from '../clock.ts';
import { readEnvironment } from '../config.ts';
import { fieldsOf } from '../core/fields.ts';
import { viewAccount } from '../core/pod-view.ts';
import { Problem, isProblem } from '../problem.ts';
import { createExchange } from '../registry/exchange.ts';
import { createHttpCall } from '../registry/http-call.ts';
import { SecretText } from '../secret-text.ts';
import { readText } from '../text-file.ts';
import { kubeletSettings, type SettingsWish } from './doctor/node/kubelet-settings.ts';
import { judgeAnswer } from './doctor/node/plugin-answer.ts';
import { judgePresent, nameOf, readPulledRecords } from './doctor/node/present-images.ts';
import { judgeExecutable, readProviders } from './doctor/node/provider-files.ts';
import {
  judgeAccount,
  judgeAudience,
  judgePatterns,
  matchingProviders,
} from './doctor/node/provider-steps.ts';
import { createNodeReport } from './doctor/node/report.ts';
import { failed, ok, skipped, type Finding } from './doctor/step.ts';
import { readManifests } from './manifests.ts';
import type { NodeFacts } from './doctor/node/step.ts';
import type { Release } from './kubelet/releases.ts';
import type { CommandIo, ExitCode, OutputForm } from './output.ts';

export interface DoctorNodeOptions extends SettingsWish {
  /** The rules, instead of the file that the provider's flags name. */
  readonly config?: string;
  readonly kubernetes: Release;
  readonly image?: string;
  /** Manifests: the account, and what is to be seen of its pod and of roles. */
  readonly account?: string;
  readonly namespace: string;
  readonly serviceAccount?: string;
  /** A file with a ServiceAccount token. */
  readonly token?: string;
  /** A file with the images that are on the node, one a line. */
  readonly images?: string;
  readonly output: OutputForm;
  readonly color: boolean;
}

/** Of the machine and the outside; others for tests. */
export interface NodeTools {
  readonly proc: string;
  /** Of the container runtime; undefined where it cannot be asked. */
  listImages(): Promise<readonly string[] | undefined>;
}

const here: NodeTools = { proc: '/proc', listImages: imagesOfRuntime };

/** 1 if something would not work. @throws Problem file-unreadable, config-invalid or usage */
export async function doctorNode(
  options: DoctorNodeOptions,
  io: CommandIo,
  { proc, listImages }: NodeTools = here,
): Promise<ExitCode> {
  const settings = kubeletSettings(options, proc);
  const report = createNodeReport(options, io);
  report.add('kubelet', '', ok(settings.source));
  const { providers, finding } = readProviders(settings, options.kubernetes);
  report.add('provider-config', '', finding);
  for (const provider of providers)
    report.add('executables', provider.name, judgeExecutable(provider, settings));

  const read = await factsFrom(options, io);
  const facts: NodeFacts = { settings, providers, ...read.facts };
  report.add('image', '', read.image);
  const matching = matchingProviders(facts);
  report.add('providers', '', judgePatterns(facts, matching));
  const exchange = createExchange({ http: createHttpCall(readEnvironment().proxy) });
  const token = options.token === undefined ? undefined : new SecretText(readText(options.token).trim());
  const wish = {
    ...(options.config !== undefined && { config: options.config }),
    ...(token && { token }),
  };
  for (const provider of matching) {
    const runs = judgeAccount(provider, facts);
    report.add('account', provider.name, runs);
    if (runs.outcome === 'failed') continue;
    report.add('audience', provider.name, judgeAudience(provider, facts));
    const answer = await judgeAnswer(provider, facts, wish, { exchange, clock: systemClock });
    report.add('answer', provider.name, answer);
  }

  const pulled = readPulledRecords(settings);
  for (const path of pulled.unread) report.add('present', path, failed('is no record of a pull'));
  const isHere = [options.kubeletFlags, options.kubeletConfig, options.providerConfig].every(
    (one) => one === undefined,
  );
  const listed = options.images === undefined ? undefined : linesOf(readText(options.images));
  const recorded = pulled.records.flatMap(({ credentialMapping }) => Object.keys(credentialMapping ?? {}));
  const images = listed ?? (isHere ? await listImages() : undefined) ?? recorded;
  for (const name of [...new Set(images.flatMap(nameIfAny))].toSorted())
    report.add('present', name, judgePresent(name, settings, pulled, options.kubernetes));
  if (images.length === 0) report.add('present', '', skipped('no images are known (--images)'));
  return report.finish() ? 0 : 1;
}

interface Read {
  readonly facts: Pick<NodeFacts, 'image' | 'account' | 'objects'>;
  readonly image: Finding;
}

async function factsFrom(options: DoctorNodeOptions, io: CommandIo): Promise<Read> {
  const { account: file, namespace, serviceAccount } = options;
  const manifests = file === undefined ? [] : await readManifests(file, namespace, io);
  const objects = manifests.map(({ object }) => fieldsOf(object));
  const accounts = manifests.filter(({ kind }) => kind === 'ServiceAccount');
  const found = accounts.find(({ name }) => serviceAccount === undefined || name === serviceAccount);
  if (file !== undefined && !found)
    throw new Problem('usage', `${file} has no ServiceAccount ${serviceAccount ?? ''}`.trimEnd());
  const account = found
    ? { ...viewAccount(found.object), namespace: found.namespace }
    : serviceAccount === undefined
      ? undefined
      : { namespace, name: serviceAccount, uid: '', annotations: {} };
  const facts = { account, objects };
  if (options.image === undefined)
    return { facts: { ...facts, image: undefined }, image: skipped('none is asked about (--image)') };
  try {
    const image = nameOf(options.image);
    return { facts: { ...facts, image }, image: ok(`providers are chosen for ${image}`) };
  } catch (error) {
    if (!isProblem(error, 'image-unparseable')) throw error;
    return { facts: { ...facts, image: undefined }, image: failed(error.message) };
  }
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

function nameIfAny(image: string): string[] {
  try {
    return [nameOf(image)];
  } catch (error) {
    if (isProblem(error, 'image-unparseable')) return [];
    throw error;
  }
}

async function imagesOfRuntime(): Promise<readonly string[] | undefined> {
  try {
    const { stdout } = await promisify(execFile)('crictl', ['images', '--output', 'json'], {
      timeout: 10_000,
    });
    const listed = JSON.parse(stdout) as { images?: { repoTags?: string[]; repoDigests?: string[] }[] };
    return (listed.images ?? []).flatMap(({ repoTags = [], repoDigests = [] }) => [
      ...repoTags,
      ...repoDigests,
    ]);
  } catch {
    return undefined;
  }
}
