// What `npm test` prints: a heading per file, the failures in full, and as the last line `N checks passed, M failed`.
import { styleText } from 'node:util';
import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node';

/** Real control planes take minutes: their checks are shown one by one, everything else as one line per file. */
const SHOWN_CHECK_BY_CHECK = new Set(['cluster', 'long', 'node']);

export function createReporter(): Reporter {
  let vitest: Vitest | undefined;
  const print = (line: string) => vitest?.logger.log(line);

  const heading = (module: TestModule) => styleText('bold', module.relativeModuleId);

  return {
    onInit: (context) => {
      vitest = context;
    },
    onTestModuleStart: (module) => {
      if (isShownByCheck(module)) print(`\n${heading(module)}`);
    },
    onTestCaseResult: (check) => {
      if (isShownByCheck(check.module)) print(lineOf(check));
    },
    onTestModuleEnd: (module) => {
      if (isShownByCheck(module)) return;
      const checks = [...module.children.allTests()];
      print(
        `${heading(module)} ${styleText('dim', `${checks.length} checks, ${seconds(module.diagnostic().duration)}`)}`,
      );
      for (const check of checks) if (check.result().state !== 'passed') print(lineOf(check));
    },
    onUserConsoleLog: ({ content }) => print(styleText('dim', content.trimEnd())),
    onTestRunEnd: (modules, unhandled) => {
      const counts = { passed: 0, failed: 0, skipped: 0, pending: 0 };
      for (const module of modules) {
        for (const check of module.children.allTests()) {
          const { state, errors = [] } = check.result();
          counts[state]++;
          if (errors.length > 0)
            print(`\n${styleText('red', 'failed')} ${module.relativeModuleId}: ${check.fullName}`);
          for (const error of errors) vitest?.logger.printError(error, { project: module.project });
        }
        counts.failed += showOuterErrors(module);
      }
      for (const error of unhandled) vitest?.logger.printError(error, { type: 'Unhandled error' });
      counts.failed += unhandled.length;
      const unfinished = counts.skipped + counts.pending;
      if (unfinished > 0) print(`\n${unfinished} checks did not run`);
      print(`\n${counts.passed} checks passed, ${counts.failed} failed`);
    },
  };

  /** Errors outside of checks: a file that cannot be loaded, a hook that failed. */
  function showOuterErrors(module: TestModule): number {
    const errors = [module, ...module.children.allSuites()].flatMap((suite) => suite.errors());
    if (errors.length > 0) print(`\n${styleText('red', 'failed')} ${module.relativeModuleId}`);
    for (const error of errors) vitest?.logger.printError(error, { project: module.project });
    return errors.length;
  }
}

function isShownByCheck(module: TestModule): boolean {
  return SHOWN_CHECK_BY_CHECK.has(module.project.name);
}

function lineOf(check: TestCase): string {
  const { state } = check.result();
  const mark =
    state === 'passed' ? styleText('green', '✓') : state === 'failed' ? styleText('red', '✗') : '-';
  return `  ${mark} ${check.fullName} ${styleText('dim', seconds(check.diagnostic()?.duration ?? 0))}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
