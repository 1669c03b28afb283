// The command line: every command's flags and help in one place, each command's code loaded only when it runs.
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { readEnvironment } from '../config.ts';
import { logLevels } from '../log-level.ts';
import { describeProblem, exitCodeFor, outputForms, type CommandIo, type ExitCode } from './output.ts';

const VERSION = '0.1.0';

/** Runs one command. Never rejects: what went wrong is one sentence on stderr and the exit code. */
export async function runProgram(name: string, words: readonly string[], io: CommandIo): Promise<ExitCode> {
  let code: ExitCode = 0;
  const program = createProgram(name, io, (result) => {
    code = result;
  });
  try {
    await program.parseAsync(words as string[], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 64;
    const told = describeProblem(error);
    if (!told) throw error;
    io.err(`${name}: ${told}`);
    return exitCodeFor(error);
  }
}

function createProgram(name: string, io: CommandIo, finish: (code: ExitCode) => void): Command {
  const program = new Command(name)
    .description(
      'Pods pull private images as themselves: short-lived registry credentials made from their own ServiceAccount.',
    )
    .version(VERSION)
    .configureOutput({ writeOut: (text) => io.out(text), writeErr: (text) => io.err(text) })
    .showHelpAfterError(`(${name} --help shows what there is)`)
    .exitOverride();

  program
    .command('serve')
    .description('run the admission webhook and the refresh worker')
    .requiredOption('--config <file>', 'rules, policy and worker settings')
    .option(
      '--kubeconfig <file>',
      'how to reach the cluster; default: KUBECONFIG, ~/.kube/config, or the pod we run in',
    )
    .option('--context <name>', 'context of the kubeconfig')
    .option('--tls-cert <file>', 'serving certificate, PEM; needed by the webhook')
    .option('--tls-key <file>', 'its private key, PEM')
    .option('--host <address>', 'where to listen; default: every address')
    .option('--port <number>', 'port of the webhook', portNumber, 8443)
    .option('--metrics-port <number>', 'port of /metrics', portNumber, 9090)
    .option('--namespace <name>', 'our own namespace; default: that of the pod or of the context')
    .addOption(
      new Option('--role <role>', 'what this process does')
        .choices(['all', 'webhook', 'worker'])
        .default('all'),
    )
    .addOption(logLevelOption())
    .addHelpText(
      'after',
      examples(name, [
        'serve --config config.yaml --tls-cert tls.crt --tls-key tls.key',
        'serve --role worker --config config.yaml',
      ]),
    )
    .action(async (options) => {
      const { serve } = await import('./serve.ts');
      finish(await serve(options, io));
    });

  program
    .command('token-server')
    .description("run the registry's side: a token server that accepts ServiceAccount tokens as passwords")
    .requiredOption('--config <file>', 'issuers, access rules and signing key')
    .option('--host <address>', 'where to listen; default: what the config says')
    .option('--port <number>', 'port; default: what the config says', portNumber)
    .addOption(logLevelOption())
    .addHelpText('after', examples(name, ['token-server --config token-server.yaml']))
    .action(async (options) => {
      const { runTokenServer } = await import('./token-server.ts');
      await using server = await runTokenServer(options, { signal: io.signal });
      await server.stopped;
      finish(0);
    });

  program
    .command('render')
    .description('show what the webhook would do to a manifest, without any cluster')
    .requiredOption('-f, --file <file>', 'pods or workloads, YAML or JSON; "-" reads stdin')
    .requiredOption('--config <file>', 'the config of the webhook')
    .option('--account <file>', "the pod's ServiceAccount (and Namespace), where the manifest has none")
    .option('-n, --namespace <name>', 'namespace of objects that name none', 'default')
    .addOption(outputOption('json'))
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText(
      'after',
      examples(name, [
        'render -f pod.yaml --config config.yaml --output table',
        'render -f - --config config.yaml < deployment.yaml | jq .plan',
      ]),
    )
    .action(async (options) => {
      const { render } = await import('./render.ts');
      finish(
        await render({ ...options, color: options.color && io.isTerminal && !readEnvironment().noColor }, io),
      );
    });

  program
    .command('check-config')
    .description('read a config and say what it means, or everything that is wrong with it')
    .requiredOption('--config <file>', 'the config')
    .addOption(outputOption('table'))
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText('after', examples(name, ['check-config --config config.yaml']))
    .action(async (options) => {
      const { checkConfig } = await import('./check-config.ts');
      finish(await checkConfig(options, io));
    });

  return program;
}

function outputOption(form: (typeof outputForms)[number]): Option {
  return new Option('--output <form>', 'how results are written').choices(outputForms).default(form);
}

function logLevelOption(): Option {
  const fromEnvironment = readEnvironment().logLevel;
  const level = logLevels.find((known) => known === fromEnvironment) ?? 'info';
  return new Option('--log-level <level>', 'what is logged').choices(logLevels).default(level);
}

function examples(name: string, lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${name} ${line}`).join('\n')}`;
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError('a port is a number from 0 to 65535.');
  return port;
}
