// keyless-pull doctor: why would this account not pull from this registry? Every condition is tried, one after the other,
// with the rights of the user, and what fails comes with its cure.
import { systemClock } from '../clock.ts';
import { readEnvironment } from '../config.ts';
import { isProblem, Problem } from '../problem.ts';
import { createHttpCall } from '../registry/http-call.ts';
import { readText } from '../text-file.ts';
import { createFileCluster } from './doctor/file-cluster.ts';
import { createLiveCluster } from './doctor/live-cluster.ts';
import { runChecks } from './doctor/run-checks.ts';
import { imageOf, type DoctorTools, type Question } from './doctor/step.ts';
import { createReport } from './doctor/report.ts';
import type { CommandIo, ExitCode, OutputForm } from './output.ts';

export interface DoctorOptions {
  readonly config?: string;
  readonly rule?: string;
  /** NAMESPACE/NAME. */
  readonly account?: string;
  readonly host?: string;
  readonly image?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly as?: string;
  readonly issuerCa?: string;
  readonly registryCa?: string;
  readonly offline?: boolean;
  readonly accountFile?: string;
  readonly output: OutputForm;
  readonly color: boolean;
}

/** @param replaced for tests */
export async function doctor(
  options: DoctorOptions,
  io: CommandIo,
  replaced: Partial<DoctorTools> = {},
): Promise<ExitCode> {
  const question = questionOf(options);
  const isOffline = options.offline === true;
  const clock = replaced.clock ?? systemClock;
  const { proxy, kubeconfig: usual } = readEnvironment();
  await using live = isOffline
    ? undefined
    : createLiveCluster({ ...options, usual }, { clock, signal: io.signal });
  const tools: DoctorTools = {
    clock,
    signal: io.signal,
    http: createHttpCall(proxy),
    cluster: live ?? (await createFileCluster(options.accountFile ?? '', question.namespace, io)),
    issuerAuthority: options.issuerCa === undefined ? undefined : readText(options.issuerCa),
    registryAuthority: options.registryCa === undefined ? undefined : readText(options.registryCa),
    ...replaced,
  };
  const report = createReport(question, options, io);
  const facts = { question };
  const isDone = await runChecks(facts, tools, {
    isOffline,
    onStep: (step) => report.add(step),
    onSlow: (step) => {
      if (io.isTerminal) io.err(`checking ${step} …\n`);
    },
  });
  const isGood = report.finish(facts);
  if (!isDone) return 2;
  return isGood ? 0 : 1;
}

/** DNS names, so that they are one part of a path and one word of a command. */
const ACCOUNT = /^([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\/([a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)$/;

function questionOf(options: DoctorOptions): Question {
  const { config, rule } = options;
  if (config === undefined || rule === undefined || options.account === undefined)
    throw new Problem(
      'usage',
      'one pull needs --config, --rule and --account; for the installation: doctor system',
    );
  const [, namespace, account] = ACCOUNT.exec(options.account) ?? [];
  if (namespace === undefined || account === undefined)
    throw new Problem('usage', '--account is written NAMESPACE/NAME, in lower case');
  if (options.offline && options.accountFile === undefined)
    throw new Problem(
      'usage',
      '--offline needs --account-file: a file with the ServiceAccount, and its Namespace',
    );
  if (!options.offline && options.accountFile !== undefined)
    throw new Problem('usage', '--account-file goes with --offline');
  const image = readImage(options.image);
  if (image && options.host !== undefined && image.host !== options.host)
    throw new Problem('usage', `--image names ${image.host}, and --host ${options.host}: leave --host out`);
  return { config, rule, namespace, account, host: options.host, image };
}

function readImage(text: string | undefined): Question['image'] {
  try {
    return imageOf(text);
  } catch (error) {
    if (!isProblem(error, 'image-unparseable')) throw error;
    throw new Problem('usage', `--image: ${error.message}`, { cause: error });
  }
}
