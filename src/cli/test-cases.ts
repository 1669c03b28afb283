// keyless-pull test: a team's own cases, run through what the webhook runs, before anything reaches a cluster.
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig, type Config } from '../config.ts';
import { isProblem, Problem } from '../problem.ts';
import { errnoText, isFolder, readText } from '../text-file.ts';
import { readCase } from './cases/case-file.ts';
import { brokenCase, ranCase, type CaseResult } from './cases/case-result.ts';
import { updatedText } from './cases/case-update.ts';
import { junitText } from './cases/junit.ts';
import { runCase } from './cases/run-case.ts';
import { createPaint, writeResult, type CommandIo, type ExitCode, type OutputForm } from './output.ts';
import { printable } from './printable.ts';

export interface TestCasesOptions {
  /** Files and folders. */
  readonly file: readonly string[];
  /** Rules and policy of cases that have none. */
  readonly config?: string;
  /** Rewrites expectations that do not hold. */
  readonly update?: boolean;
  /** Writes JUnit XML into this file as well. */
  readonly junit?: string;
  readonly output: OutputForm | 'junit';
  readonly color: boolean;
}

/** @throws Problem config-invalid for the config, file-unreadable, or usage */
export async function testCases(options: TestCasesOptions, io: CommandIo): Promise<ExitCode> {
  const config = options.config === undefined ? undefined : loadConfig(options.config);
  const files = options.file.flatMap(casesIn);
  if (files.length === 0)
    throw new Problem(
      'file-unreadable',
      `there is no case in ${options.file.join(', ')}: a case has a header with "case"`,
    );
  const cases: CaseResult[] = [];
  for (const file of files) cases.push(await runOne(file, config, options.update === true));
  const count = (outcome: CaseResult['outcome']) => cases.filter((one) => one.outcome === outcome).length;
  const summary = {
    cases: cases.length,
    passed: count('passed'),
    failed: count('failed'),
    broken: count('broken'),
    updated: cases.filter(({ updated }) => updated).length,
    ok: count('passed') === cases.length,
  };
  if (options.junit !== undefined) write(options.junit, junitText(cases));
  if (options.output === 'junit') io.out(junitText(cases));
  else writeResult(io, options.output, { cases, summary }, () => tableOf(cases, summary, options.color));
  if (summary.broken > 0) return 2;
  return summary.failed > 0 ? 1 : 0;
}

async function runOne(file: string, config: Config | undefined, isUpdate: boolean): Promise<CaseResult> {
  try {
    const given = readCase(file, config);
    const run = await runCase(given);
    const { case: name } = given.header;
    if (run.failures.length === 0 || !isUpdate) return ranCase(file, name, run.failures, false);
    const text = updatedText(given, run);
    if (text !== given.text) write(file, text);
    // What is still not so is no matter of expectations.
    const { failures } = await runCase(readCase(file, config));
    return failures.length > 0
      ? ranCase(file, name, failures, false)
      : ranCase(file, name, run.failures, true);
  } catch (error) {
    if (!isProblem(error)) throw error;
    return brokenCase(file, error);
  }
}

/** A folder's YAML files that are cases; configs and manifests may lie beside them. A file that is named is one, or broken. */
function casesIn(path: string): string[] {
  if (!isFolder(path)) return [path];
  return readdirSync(path, { withFileTypes: true })
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    .flatMap((entry) => {
      const inside = join(path, entry.name);
      if (entry.isDirectory()) return entry.name.startsWith('.') ? [] : casesIn(inside);
      return /\.ya?ml$/.test(entry.name) && /^"?(?:case|expect)"?:/m.test(readText(inside)) ? [inside] : [];
    });
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (cause) {
    throw new Problem('file-unreadable', `cannot write ${path}: ${errnoText(cause)}`, { cause });
  }
}

function tableOf(
  cases: readonly CaseResult[],
  summary: { passed: number; failed: number; broken: number; updated: number },
  color: boolean,
): string {
  const paint = createPaint(color);
  const lines = cases.flatMap(({ file, name, outcome, told, updated }) => {
    const title = printable(name === file ? file : `${file}: ${name}`);
    if (outcome === 'passed') return [`${paint.added('✓')} ${title}${updated ? ' (updated)' : ''}`];
    return [`${paint.removed('✗')} ${paint.strong(title)}`, ...told.trimEnd().split('\n').map(painted)];
  });
  function painted(line: string): string {
    const shown = `    ${line.replaceAll(/\S+/g, printable)}`;
    if (/^\s+\+/.test(line)) return paint.added(shown);
    return /^\s+-/.test(line) ? paint.removed(shown) : shown;
  }
  const { passed, failed, broken, updated } = summary;
  const more = [...(broken > 0 ? [`${broken} broken`] : []), ...(updated > 0 ? [`${updated} updated`] : [])];
  const told = [`${passed} passed`, `${failed} failed`, ...more].join(', ');
  return [...lines, told].map((line) => `${line}\n`).join('');
}
