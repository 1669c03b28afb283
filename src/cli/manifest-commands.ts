// Flags and help of what reads manifests and configs, without any cluster.
import { Problem } from '../problem.ts';
import { outputOption, wantsColor } from './output-option.ts';
import type { CommandTools } from './program.ts';

export function addManifestCommands({ program, io, finish, examples }: CommandTools): void {
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
      examples([
        'render -f pod.yaml --config config.yaml --output table',
        'render -f - --config config.yaml < deployment.yaml | jq .plan',
      ]),
    )
    .action(async (options) => {
      const { render } = await import('./render.ts');
      finish(await render({ ...options, color: wantsColor(options, io) }, io));
    });

  program
    .command('check-config')
    .description('read a config and say what it means, or everything that is wrong with it')
    .requiredOption('--config <file>', 'the config')
    .option(
      '--against [context]',
      'what this config would change for the credentials and pods of a cluster; reads only',
    )
    .option('-n, --namespace <name>', 'with --against: only this namespace; default: all')
    .option('--kubeconfig <file>', 'as for kubectl')
    .option('--context <name>', 'context of the kubeconfig')
    .option('--as <user>', 'ask the cluster as somebody else, as for kubectl')
    .addOption(outputOption('table'))
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText(
      'after',
      `${examples([
        'check-config --config config.yaml',
        'check-config --config next.yaml --against production',
        'check-config --config next.yaml --against --kubeconfig kubeconfig --output json',
      ])}\n\nExit code with --against 0: nothing that lives changes. 1: something does. 2: the cluster cannot be asked.`,
    )
    .action(async (options) => {
      if (options.against !== undefined) {
        const { checkAgainst } = await import('./check-against.ts');
        return finish(await checkAgainst({ ...options, color: wantsColor(options, io) }, io));
      }
      const flag = ['namespace', 'kubeconfig', 'context', 'as'].find((name) => options[name] !== undefined);
      if (flag !== undefined) throw new Problem('usage', `--${flag} goes with --against`);
      const { checkConfig } = await import('./check-config.ts');
      finish(await checkConfig(options, io));
    });
}
