// What docs/migration.md, docs/testing.md and examples/migration say is tried.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { CaseHeader } from '../../../src/cli/cases/case-header.ts';
import { caseOf } from '../../../src/cli/cases/case-file.ts';
import { runCase } from '../../../src/cli/cases/run-case.ts';
import { shapeOf } from '../../../src/cli/completion-commands.ts';
import { placedCommands } from '../../../src/cli/completion/command-shape.ts';
import { loadConfig } from '../../../src/config.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { createPrinted } from '../fake-user-cluster.ts';

const DOCS = ['docs/migration.md', 'docs/testing.md', 'examples/migration/README.md'];
const options = placedCommands(
  shapeOf(createProgram('keyless-pull', createPrinted(), () => undefined)),
).flatMap(({ command }) => command.options.flatMap(({ names }) => names));

test.each(DOCS)('%s names only flags that exist, and links to files that do', (file) => {
  const text = readFileSync(file, 'utf8');

  for (const flag of text.match(/(?<![\w-])--[a-z]+(?:-[a-z]+)*/g) ?? []) expect(options).toContain(flag);
  for (const [, target = ''] of text.matchAll(/\]\(([^)#]+)/g))
    expect(existsSync(join(dirname(file), target)), target).toBe(true);
});

test('docs/testing.md knows every key of a header and of an expectation', () => {
  const text = readFileSync('docs/testing.md', 'utf8');
  const { expect: expectation, ...header } = CaseHeader.shape;

  for (const key of [...Object.keys(header), ...Object.keys(expectation.unwrap().shape)])
    expect(text).toContain(`\`${key}\``);
});

test('the case that docs/testing.md shows holds', async () => {
  const [, text = ''] = /```yaml\n([\s\S]*?)```/.exec(readFileSync('docs/testing.md', 'utf8')) ?? [];
  const given = caseOf(text, 'docs/testing.md', loadConfig('examples/migration/config.yaml'));

  expect((await runCase(given)).failures).toEqual([]);
});
