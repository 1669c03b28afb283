// Flags and help of what runs for long, and of what a registry runs for every login.
import { InvalidArgumentError, Option } from 'commander';
import { readEnvironment } from '../config.ts';
import { logLevels } from '../log-level.ts';
import type { CommandTools } from './program.ts';

export function addServingCommands({ program, io, finish, examples }: CommandTools): void {
  program
    .command('serve')
    .description('run the admission webhook and the refresh worker')
    .requiredOption('--config <file>', 'rules, policy and worker settings')
    .option(
      '--kubeconfig <file>',
      'how to reach the cluster; default: KUBECONFIG, ~/.kube/config, or the pod we run in',
    )
    .option('--context <name>', 'context of the kubeconfig')
    .option('--tls-cert <file>', 'serving certificate, PEM; default: the one in --tls-secret')
    .option('--tls-key <file>', 'its private key, PEM')
    .option(
      '--tls-secret <name>',
      'Secret in our own namespace that holds it; default in a cluster: keyless-pull-tls',
    )
    .option(
      '--service <name>',
      'Service that the certificate is for; a host where webhooks have a URL',
      'keyless-pull',
    )
    .option('--webhook-configuration <name>', 'name of both whose caBundle is kept', 'keyless-pull')
    .addOption(
      new Option(
        '--ca-bundle <what>',
        'heal: certificate and caBundle from an authority of our own; leave: somebody else sees to both',
      )
        .choices(['heal', 'leave'])
        .default('heal'),
    )
    .option('--host <address>', 'where to listen; default: every address')
    .option('--port <number>', 'port of the webhook', portNumber, 8443)
    .option('--metrics-port <number>', 'port of /metrics', portNumber, 9090)
    .option(
      '--linger-seconds <number>',
      'how long reviews are still answered after the signal to stop; default: 10 in a cluster, else 0',
      seconds,
    )
    .option('--namespace <name>', 'our own namespace; default: that of the pod or of the context')
    .addOption(
      new Option('--role <role>', 'what this process does')
        .choices(['all', 'webhook', 'worker'])
        .default('all'),
    )
    .addOption(logLevelOption())
    .addHelpText(
      'after',
      examples([
        'serve --config config.yaml --tls-cert tls.crt --tls-key tls.key',
        'serve --role worker --config config.yaml',
        'serve --config config.yaml --ca-bundle leave',
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
    .option('--metrics-port <number>', 'port of /metrics, /healthz and /readyz; default: none', portNumber)
    .option('--print-jwks', 'print the public signing keys as a jwks file for registries, and serve nothing')
    .addOption(logLevelOption())
    .addHelpText(
      'after',
      examples([
        'token-server --config token-server.yaml --metrics-port 9090',
        'token-server --config token-server.yaml --print-jwks > jwks.json',
      ]),
    )
    .action(async (options) => {
      const { describeKeySet, runTokenServer } = await import('./token-server.ts');
      if (options.printJwks) {
        io.out(describeKeySet(options.config));
        return finish(0);
      }
      await using server = await runTokenServer(options, { signal: io.signal });
      await server.stopped;
      finish(0);
    });

  program
    .command('verify-token')
    .description(
      "check one login, as docker_auth's ext_auth: user and token on stdin, the verdict as exit code",
    )
    .argument('[words...]', 'nothing: a token never belongs on a command line')
    // Refused by the command itself, whose sentence does not repeat what may be a token.
    .allowUnknownOption()
    .option('--issuer <url>', "the cluster's issuer, as in the iss claim of its tokens")
    .option('--audience <audience>', 'audience that a token must name; never left out')
    .option('--ca-file <file>', "PEM bundle for the issuer's certificate; default: the system's")
    .option('--bearer-file <file>', 'token for issuers that refuse anonymous discovery')
    .option('--any-user', 'accept any user name; otherwise only <namespace>/<account>')
    .option('--config <file>', "a token server's config instead, for several issuers or check: tokenReview")
    .addHelpText(
      'after',
      `${examples([
        'verify-token --issuer https://cluster.example --audience https://registry.example < login',
        'verify-token --config token-server.yaml < login',
      ])}\n\nExit codes: 0 allow, with {"labels": {…}} on stdout; 1 deny; 2 no such user; 3 error.`,
    )
    .action(async (words, options) => {
      const { verifyToken } = await import('./verify-token.ts');
      finish(await verifyToken(words, options, io));
    });
}

function logLevelOption(): Option {
  const fromEnvironment = readEnvironment().logLevel;
  const level = logLevels.find((known) => known === fromEnvironment) ?? 'info';
  return new Option('--log-level <level>', 'what is logged').choices(logLevels).default(level);
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError('a port is a number from 0 to 65535.');
  return port;
}

function seconds(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 600)
    throw new InvalidArgumentError('this is a number of seconds from 0 to 600.');
  return value;
}
