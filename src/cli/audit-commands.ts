// Flags and help of audit.
import { Option } from 'commander';
import { outputForms } from './output.ts';
import { wantsColor } from './output-option.ts';
import type { CommandTools } from './program.ts';

const RIGHTS = `Reads only. In a cluster it needs the right to list pods, serviceaccounts, deployments, statefulsets, daemonsets,
replicasets, replicationcontrollers, jobs, cronjobs, pullcredentials, namespaces (with -n: to get that one) and secrets (of which
it asks for pull secrets alone, and keeps type, age and hosts). --without-secrets needs no right on secrets.`;

const PIPES = `Other tools' output is good input:
  kubectl get ns,sa,secret,deploy,sts,ds,rs,rc,job,cronjob,po -A -o json > dump.json
  helm template shop charts/shop | keyless-pull audit -f -`;

const EXITS =
  'Exit code 0: no finding. 1: findings that no exemption covers. 2: it could not look, or not at everything.';

export function addAuditCommands({ program, io, finish, examples }: CommandTools): void {
  program
    .command('audit')
    .description('every static pull secret and every registry in use: of a cluster, a dump or manifests')
    .option(
      '-f, --file <file>',
      'instead of the cluster: a dump, manifests, a folder of them, or "-" for stdin; may be repeated',
      (file: string, before: string[] | undefined) => [...(before ?? []), file],
    )
    .option('--config <file>', 'the config of the webhook: says which rule covers what')
    .option('--without-secrets', 'do not look at Secrets: their types, ages and hosts stay unknown')
    .option('--html <file>', 'write the report as one HTML page, too')
    .option('-n, --namespace <name>', "as for kubectl; with -f: of objects that name none ('default')")
    .option('-A, --all-namespaces', 'all namespaces')
    .option('--kubeconfig <file>', 'as for kubectl')
    .option('--context <name>', 'context of the kubeconfig')
    .option('--as <user>', 'ask the cluster as somebody else, as for kubectl')
    .addOption(
      new Option('--output <form>', 'how results are written')
        .choices([...outputForms, 'html'])
        .default('table'),
    )
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText(
      'after',
      `${examples([
        'audit -A --config config.yaml --html report.html',
        "audit -n shop --without-secrets --output json | jq '.findings[] | {owner, secret, missing}'",
        'audit -f dump.json -f manifests/ --config config.yaml',
        'audit -f - --config config.yaml < rendered.yaml',
      ])}\n\n${PIPES}\n\n${RIGHTS}\n\n${EXITS}`,
    )
    .action(async (options) => {
      const { audit } = await import('./audit.ts');
      finish(await audit({ ...options, color: wantsColor(options, io) }, io));
    });
}
