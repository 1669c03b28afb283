// Flags and help of what sets up the trust between a cluster, its nodes and its registries.
import { addKubeletGenerators } from './kubelet-commands.ts';
import { outputOption } from './output-option.ts';
import { trustForms } from './trust/trust.ts';
import type { CommandTools } from './program.ts';

export function addTrustCommands(tools: CommandTools): void {
  const { program, io, finish, examples } = tools;
  const generate = program.command('generate').description('write what other systems need to be told');
  generate
    .command('trust')
    .description('what the registry or its cloud needs so that one account may pull under one rule')
    .requiredOption('--config <file>', 'the config with the rule')
    .requiredOption('--rule <name>', 'name of the rule')
    .requiredOption('--account <namespace/name>', 'the ServiceAccount')
    .option('--issuer <url>', "the cluster's issuer, letter by letter as in the iss claim of its tokens")
    .option('--account-file <file>', 'its manifest, for the annotations; "-" reads stdin')
    .option('--host <host>', 'registry host, where the rule has several or a pattern')
    .addOption(generate.createOption('--format <form>', "default: the family's first").choices(trustForms))
    .addOption(outputOption('table'))
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText(
      'after',
      `${examples([
        'generate trust --config config.yaml --rule ecr --account shop/web --issuer https://oidc.team.example --host 111122223333.dkr.ecr.eu-central-1.amazonaws.com > trust.tf',
        'generate trust --config config.yaml --rule quay --account shop/web --account-file account.yaml --issuer https://oidc.team.example --format commands > trust.sh',
      ])}\n\nkubectl get --raw /.well-known/openid-configuration shows the issuer. Exit code 1: written, but it will not work, and why.`,
    )
    .action(async (options) => {
      const { generateTrust } = await import('./generate-trust.ts');
      finish(await generateTrust(options, io));
    });

  addKubeletGenerators(generate, tools);
}
