// The plugin's contract with the script as a process.
import { join } from 'node:path';
import { pluginContract } from '../plugin/contract.ts';
import { runExecutable } from '../plugin/run-executable.ts';

pluginContract(
  'as a script',
  runExecutable(process.execPath, join(import.meta.dirname, '../../src/plugin/main.ts')),
);
