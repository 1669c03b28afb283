// Flags and help of the way from static pull secrets to credentials that nobody stores.
import { Option } from 'commander';
import { Problem } from '../problem.ts';
import { ownNamespace, withKubectlFlags } from './cluster-commands.ts';
import { migrationModes } from './migrate/namespaces.ts';
import { outputOption, wantsColor } from './output-option.ts';
import type { CommandTools } from './program.ts';

const several = (value: string, before: readonly string[]) => [...before, value];

export function addMigrateCommands({ program, io, finish, examples }: CommandTools): void {
  withKubectlFlags(program.command('migrate'))
    .description('take static pull secrets out of manifests, or plan the same for a running cluster')
    .requiredOption('--config <file>', 'the config of the webhook: what its rules cover can go')
    .option('-f, --file <file>', 'a file or folder of manifests, YAML or JSON; "-" reads stdin')
    .option('--write', 'change the files; without it the diff is shown. With "-": print the result')
    .addOption(
      new Option('--mode <mode>', 'label of namespaces: what happens to static pull secrets')
        .choices(migrationModes)
        .default('warn'),
    )
    .option(
      '--set <namespace/account:parameter=value>',
      'what an account says of itself, as a rule wants it; may be given several times',
      several,
      [],
    )
    .option(
      '--public <host>',
      'a registry that asks for no login, so that no rule has to cover it; may be given several times',
      several,
      [],
    )
    .option('--plan', 'the steps for a running cluster instead, with proof and way back; changes nothing')
    .option('-A, --all-namespaces', 'with --plan: all namespaces')
    .addOption(ownNamespace())
    .addOption(outputOption('table', 'markdown'))
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText(
      'after',
      `${examples([
        'migrate -f deploy/ --config config.yaml',
        'migrate -f deploy/ --config config.yaml --public docker.io --write',
        'migrate -f deploy/ --config config.yaml --set shop/web:role-arn=arn:aws:iam::111122223333:role/pull-shop',
        'migrate --plan -n shop --config config.yaml',
        'migrate --plan -A --config config.yaml --output markdown > plan.md',
      ])}\n\nWith --file, --namespace is that of objects that name none. --plan lists namespaces, accounts, workloads and pods, and no Secret.\n\nExit code 0: nothing to do, or written. 1: there are changes, or steps. 2: a file cannot be read, or the cluster cannot be asked. 64: wrong use.`,
    )
    .action(async (options) => {
      const choice = { ...options, color: wantsColor(options, io) };
      if ((options.plan === true) === (options.file !== undefined))
        throw new Problem('usage', 'either -f with manifests, or --plan for a cluster');
      if (options.plan) {
        if (options.write) throw new Problem('usage', '--write goes with --file: a plan changes nothing');
        const { migratePlan } = await import('./migrate-plan.ts');
        return finish(await migratePlan(choice, io));
      }
      if (options.output === 'markdown') throw new Problem('usage', '--output markdown goes with --plan');
      const { migrate } = await import('./migrate.ts');
      finish(await migrate({ ...choice, namespace: options.namespace ?? 'default' }, io));
    });
}
