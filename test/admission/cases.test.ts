// Every file of test/cases is a test: the pod in, the verdict out, held to the API server's own rules for answers. The runner
// is that of keyless-pull test.
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { runCase } from '../../src/cli/cases/run-case.ts';
import { readCase } from './case-file.ts';

const FOLDER = new URL('../cases/', import.meta.url);
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));

describe.each(files)('%s', (file) => {
  const given = readCase(new URL(file, FOLDER).pathname);

  test(given.header.case, async () => {
    const { failures } = await runCase(given);

    expect(failures).toEqual([]);
  });
});
