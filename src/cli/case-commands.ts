// Flags and help of what runs a team's own cases.
import { outputOption, wantsColor } from './output-option.ts';
import type { CommandTools } from './program.ts';

export function addCaseCommands({ program, io, finish, examples }: CommandTools): void {
  program
    .command('test')
    .description("run a team's own cases: config, account and pod in, patch or finding out")
    .requiredOption('-f, --file <file...>', 'cases: files, or folders with files that begin with "case:"')
    .option('--config <file>', 'the config of the webhook: rules and policy of cases that have none')
    .option('--update', 'rewrite expectations that do not hold; comments stay')
    .option('--junit <file>', 'write JUnit XML into this file as well')
    .addOption(outputOption('table', 'junit'))
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText(
      'after',
      `${examples([
        'test -f cases/ --config config.yaml',
        'test -f cases/ --config config.yaml --junit report.xml',
        'test -f cases/new.yaml --config config.yaml --update',
      ])}\n\nExit code 1: a case failed. 2: a case cannot be read, or there is none.`,
    )
    .action(async (options) => {
      const { testCases } = await import('./test-cases.ts');
      finish(await testCases({ ...options, color: wantsColor(options, io) }, io));
    });
}
