// A case of test/cases as keyless-pull test reads it, with what a case must have: an expectation.
import { readCase as readAnyCase } from '../../src/cli/cases/case-file.ts';

export function readCase(path: string) {
  const given = readAnyCase(path);
  const { header, needsPerPod } = given;
  const { expect } = header;
  if (!expect) throw new Error(`${path} expects nothing`);
  return { ...given, header: { ...header, expect, needsPerPod } };
}
