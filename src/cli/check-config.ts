// keyless-pull check-config: is this config one, and what does it mean.
import { loadConfig } from '../config.ts';
import { alignColumns, writeResult, type CommandIo, type ExitCode, type OutputForm } from './output.ts';

/** @throws Problem config-invalid with every fault, or file-unreadable */
export async function checkConfig(
  options: { readonly config: string; readonly output: OutputForm },
  io: CommandIo,
): Promise<ExitCode> {
  const config = loadConfig(options.config);
  // The family is what the program makes of the kind, and nobody's setting.
  const shown = { ...config, rules: config.rules.map(({ family: _family, ...rule }) => rule) };
  writeResult(io, options.output, shown, () => {
    const rows = config.rules.map((rule) => [
      rule.name,
      rule.hosts.join(' '),
      rule.exchange.kind,
      rule.delivery.join('+'),
      rule.audience,
    ]);
    return alignColumns([['RULE', 'HOSTS', 'EXCHANGE', 'DELIVERY', 'AUDIENCE'], ...rows]);
  });
  return 0;
}
