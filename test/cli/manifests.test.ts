// Manifests that a person names to a command: what cannot be read is a sentence and exit code 2, whichever command reads it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { createPrinted } from './fake-user-cluster.ts';

const CONFIG = ['--config', 'examples/pass-through/config.yaml'];
const ACCOUNT = ['--rule', 'zot', '--account', 'shop/web', '--account-file'];
const readers: readonly (readonly string[])[] = [
  ['render', ...CONFIG, '-f'],
  ['audit', '-f'],
  ['migrate', ...CONFIG, '-f'],
  ['generate', 'trust', ...CONFIG, '--issuer', 'https://issuer.example', ...ACCOUNT],
  ['doctor', ...CONFIG, '--offline', ...ACCOUNT],
];

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'manifests-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test.for(
  readers.flatMap((words) => [
    { words, text: 'kind: Pod\nmetadata: *none\n', told: 'an alias' },
    { words, text: 'kind: Pod\nmetadata: [\n', told: 'no YAML' },
  ]),
)('$words.0: $text is told, and not taken for a finding', async ({ words, text, told }) => {
  const path = join(folder, 'odd.yaml');
  writeFileSync(path, text);
  const io = createPrinted();

  expect(await runProgram('keyless-pull', [...words, path], io)).toBe(2);
  expect(io.stderr).toMatch(new RegExp(`odd\\.yaml.* ${told}.*\\(file-unreadable\\)\\n$`));
});
