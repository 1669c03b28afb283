// Flags and help of what sets up the node's own door: the kubelet's config and the rights of nodes.
import { NEWEST_TESTED, releases } from './kubelet/releases.ts';
import { outputOption, wantsColor } from './output-option.ts';
import type { Command } from 'commander';
import type { CommandTools } from './program.ts';

/** @param generate the command to put them under */
export function addKubeletGenerators(generate: Command, { io, finish, examples }: CommandTools): void {
  generate
    .command('kubelet-config')
    .description("the kubelet's CredentialProviderConfig for the rules with delivery kubelet")
    .requiredOption('--config <file>', 'the config with the rules')
    .addOption(
      generate
        .createOption('--kubernetes <minor>', 'release of the kubelets')
        .choices(releases)
        .default(NEWEST_TESTED),
    )
    .option('--from <file>', 'an older config to carry over; "-" reads stdin')
    .addOption(
      generate.createOption('--format <form>', 'of the config').choices(['yaml', 'json']).default('yaml'),
    )
    .option('--directory <dir>', 'write one file for each provider there, as kubelets from 1.34 on read them')
    .option(
      '--bin-dir <dir>',
      "the kubelet's folder of providers",
      '/usr/local/lib/kubelet/credential-providers',
    )
    .option('--plugin-config <file>', 'where nodes have the rules', '/etc/keyless-pull/config.yaml')
    .option('--require <annotation...>', 'annotations without which the plugin shall not run at all', [])
    .addOption(outputOption('table'))
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText(
      'after',
      `${examples([
        'generate kubelet-config --config config.yaml > credential-providers.yaml',
        'generate kubelet-config --config config.yaml --kubernetes 1.34 --from /etc/kubernetes/credential-providers.yaml --format json',
        'generate kubelet-config --config config.yaml --directory /etc/kubernetes/credential-providers',
      ])}\n\nExit code 1: written, but a provider of the older config will never run, and why.`,
    )
    .action(async (options) => {
      const { generateKubeletConfig } = await import('./generate-kubelet-config.ts');
      finish(await generateKubeletConfig(options, io));
    });

  generate
    .command('rbac')
    .description('the right of nodes to ask for the audiences of rules with delivery kubelet')
    .requiredOption('--config <file>', 'the config with the rules')
    .addOption(outputOption('table'))
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText(
      'after',
      `${examples(['generate rbac --config config.yaml | kubectl apply -f -'])}\n\nRules with audienceRights: volume need none.`,
    )
    .action(async (options) => {
      const { generateRbac } = await import('./generate-rbac.ts');
      finish(await generateRbac(options, io));
    });
}

/** @param doctor the command to put it under */
export function addDoctorNode(doctor: Command, { io, finish, examples }: CommandTools): void {
  doctor
    .command('node')
    .description('what the kubelet of a node would do for an image and an account, from its files')
    .option('--kubelet-flags <file>', 'its command line; default: of the kubelet that runs here')
    .option('--kubelet-config <file>', 'its KubeletConfiguration')
    .option('--provider-config <path>', 'its CredentialProviderConfig, a file or a folder')
    .option('--bin-dir <dir>', 'its folder of providers')
    .option('--root-dir <dir>', 'its own folder, with its records of pulls; default /var/lib/kubelet')
    .addOption(
      doctor.createOption('--kubernetes <minor>', 'its release').choices(releases).default(NEWEST_TESTED),
    )
    .option('--image <image>', 'the image')
    .option('--account <file>', 'the ServiceAccount, with its Pod and roles if you like; "-" reads stdin')
    .option('--namespace <name>', 'its namespace, where the file does not say', 'default')
    .option('--service-account <name>', 'its name, instead of or in the file')
    .option('--config <file>', "the rules; default: the file that the provider's flags name")
    .option('--token <file>', 'a token of the account: exchange it, instead of saying what would be')
    .option('--images <file>', 'images that are on the node, one a line; default: what crictl says here')
    .addOption(outputOption('table'))
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText(
      'after',
      examples([
        'doctor node --image registry.team.example/shop/web:1 --account web.yaml',
        'doctor node --provider-config credential-providers.yaml --bin-dir ./bin --image registry.team.example/shop/web:1 --namespace shop --service-account web --config config.yaml',
      ]),
    )
    .action(async (options) => {
      const { doctorNode } = await import('./doctor-node.ts');
      finish(await doctorNode({ ...options, color: wantsColor(options, io) }, io));
    });
}
