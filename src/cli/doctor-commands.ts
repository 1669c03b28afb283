// Flags and help of doctor: one pull, the installed system, a node.
import { Option, type Command } from 'commander';
import { ownNamespace } from './cluster-commands.ts';
import { DOCTOR_PROMISE, doctorExamples, doctorFlags } from './doctor/flags.ts';
import { addDoctorNode } from './kubelet-commands.ts';
import { outputOption, wantsColor } from './output-option.ts';
import type { CommandTools } from './program.ts';

export function addDoctorCommands(tools: CommandTools): void {
  const { program, io, finish, examples } = tools;
  const doctorCommand = program
    .command('doctor')
    .description('try every condition of a pull, for one rule and one account, and say what to mend')
    .enablePositionalOptions()
    .addOption(outputOption('table'))
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText('after', `${examples(doctorExamples)}\n\n${DOCTOR_PROMISE}`)
    .action(async (options) => {
      const { doctor } = await import('./doctor.ts');
      finish(await doctor({ ...options, color: wantsColor(options, io) }, io));
    });
  for (const { flags, means } of doctorFlags) doctorCommand.addOption(new Option(flags, means));
  addDoctorSystem(doctorCommand, tools);
  addDoctorNode(doctorCommand, tools);
}

function addDoctorSystem(doctor: Command, { io, finish, examples }: CommandTools): void {
  doctor
    .command('system')
    .description('is the installation whole: everything is tried through the API server')
    .option('--config <file>', "default: the installation's own, from its ConfigMap")
    .option('--try-in <namespace>', 'where a dry-run pod is created; default: one that opted in')
    .option('--kubeconfig <file>', 'as for kubectl')
    .option('--context <name>', 'context of the kubeconfig')
    .option('--as <user>', 'ask the cluster as somebody else, as for kubectl')
    .addOption(ownNamespace())
    .addOption(outputOption('table'))
    .option('--no-color', 'plain text, also on a terminal')
    .addHelpText(
      'after',
      `${examples(['doctor system', 'doctor system --output json'])}\n\nNothing is changed.`,
    )
    .action(async (options) => {
      const { doctorSystem } = await import('./doctor-system.ts');
      finish(await doctorSystem({ ...options, color: wantsColor(options, io) }, io));
    });
}
