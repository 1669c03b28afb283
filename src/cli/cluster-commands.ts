// Flags and help of what looks at a running cluster, or opens its gates by hand.
import { Option, type Command } from 'commander';
import { outputOption, wantsColor } from './output-option.ts';
import type { CommandTools } from './program.ts';

/** What kubectl calls the same. */
export function withKubectlFlags(command: Command): Command {
  return withUserFlags(command.option('-n, --namespace <name>', "as for kubectl; default: the context's"));
}

/** Of who means the whole cluster. */
function withUserFlags(command: Command): Command {
  return command
    .option('--kubeconfig <file>', 'as for kubectl')
    .option('--context <name>', 'context of the kubeconfig')
    .option('--as <user>', 'ask the cluster as somebody else, as for kubectl');
}

function withClusterFlags(command: Command): Command {
  return withOutputFlags(withKubectlFlags(command));
}

function withOutputFlags(command: Command): Command {
  return command.addOption(outputOption('table')).option('--no-color', 'plain text, also on a terminal');
}

export const ownNamespace = () =>
  new Option('--own-namespace <name>', 'where keyless-pull itself runs').default('keyless-pull');

export function addClusterCommands({ program, io, finish, examples }: CommandTools): void {
  withClusterFlags(program.command('status'))
    .description('every credential, the pods that wait for one, and whether a worker works')
    .option('-A, --all-namespaces', 'all namespaces')
    .option('-w, --watch', 'look every two seconds and show what changes, until Ctrl-C')
    .addOption(ownNamespace())
    .addHelpText(
      'after',
      `${examples([
        'status -n shop',
        'status --all-namespaces --watch',
        "status -A --output json | jq '.credentials[] | select(.ready | not)'",
      ])}\n\nExit code 1: a credential is not ready, a pod waits for more than 60 s, or no worker works. 2: the cluster cannot be asked.`,
    )
    .action(async (options) => {
      const { status } = await import('./status.ts');
      finish(await status({ ...options, color: wantsColor(options, io) }, io));
    });

  withClusterFlags(program.command('explain'))
    .description("one pod's story from admission to pull, and what to do now")
    .argument('<pod...>', 'pod NAME')
    .option('--config <file>', 'the config of the webhook: says of every rule why it was chosen or not')
    .addOption(ownNamespace())
    .addHelpText(
      'after',
      `${examples([
        'explain pod web-7d4b9c -n shop',
        'explain pod web-7d4b9c -n shop --config config.yaml',
      ])}\n\nExit code 1: something stands in the pod's way. 2: the cluster cannot be asked, or has no such pod.`,
    )
    .action(async (words: string[], options) => {
      const { explain } = await import('./explain.ts');
      finish(await explain(words, { ...options, color: wantsColor(options, io) }, io));
    });

  withClusterFlags(program.command('release'))
    .description('open the gates of pods by hand: they start without their credentials')
    .argument('[pod...]', 'pod NAME')
    .option('--all', 'every pod that keyless-pull holds')
    .option('-A, --all-namespaces', 'with --all: in all namespaces')
    .option('-y, --yes', 'with --all: do it')
    .option('--dry-run', 'show which pods these are, and change nothing')
    .addHelpText(
      'after',
      `${examples([
        'release pod web-7d4b9c -n shop',
        'release --all -A --dry-run',
        'release --all -A --yes',
      ])}\n\nNeeds the right to patch pods. Exit code 2: a pod could not be released, or the cluster cannot be asked.`,
    )
    .action(async (words: string[], options) => {
      const { release } = await import('./release.ts');
      finish(await release(words, { ...options, color: wantsColor(options, io) }, io));
    });

  withOutputFlags(withUserFlags(program.command('uninstall')))
    .description('take keyless-pull out of the cluster, in an order that blocks no pod')
    .option('--keep-secrets', 'pods go on pulling with what they have, until it expires')
    .option('-y, --yes', 'do it')
    .option('--dry-run', 'show what would be done, and change nothing')
    .addOption(ownNamespace())
    .addHelpText(
      'after',
      `${examples([
        'uninstall --dry-run',
        'uninstall --keep-secrets --yes',
        'uninstall --yes',
      ])}\n\nNeeds a cluster administrator's rights. Exit code 2: something was refused, and what comes behind it was left.`,
    )
    .action(async (options) => {
      const { uninstall } = await import('./uninstall.ts');
      finish(await uninstall({ ...options, color: wantsColor(options, io) }, io));
    });

  withOutputFlags(withUserFlags(program.command('support-bundle')))
    .description('one file for who shall help: objects, logs and what doctor says, without anything secret')
    .option('-o, --file <file>', 'where it is written; default: keyless-pull-support-TIME.tar.gz')
    .addOption(ownNamespace())
    .addHelpText(
      'after',
      `${examples(['support-bundle', 'support-bundle -o bundle.tar.gz'])}\n\nNo content of a Secret is asked for; what looks like a credential elsewhere is taken out. Exit code 2: the cluster cannot be asked, or the file cannot be written.`,
    )
    .action(async (options) => {
      const { supportBundle } = await import('./support-bundle.ts');
      const version = program.version() ?? '';
      finish(await supportBundle({ ...options, version, color: wantsColor(options, io) }, io));
    });
}
