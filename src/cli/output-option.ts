// The flags of every command that prints a result, and whether colours are wanted.
import { Option } from 'commander';
import { readEnvironment } from '../config.ts';
import { outputForms, type CommandIo } from './output.ts';

/** @param more forms that this command alone has */
export function outputOption(form: (typeof outputForms)[number], ...more: string[]): Option {
  const forms = [...outputForms, ...more];
  return new Option('--output <form>', 'how results are written').choices(forms).default(form);
}

export function wantsColor({ color }: { readonly color: boolean }, { isTerminal }: CommandIo): boolean {
  return color && isTerminal && !readEnvironment().noColor;
}
