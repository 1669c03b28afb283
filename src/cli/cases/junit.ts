// Results as JUnit XML, as CI systems read it. https://github.com/testmoapp/junitxml
import type { CaseResult } from './case-result.ts';

export function junitText(cases: readonly CaseResult[]): string {
  const failed = cases.filter(({ outcome }) => outcome === 'failed').length;
  const broken = cases.filter(({ outcome }) => outcome === 'broken').length;
  const counts = `tests="${cases.length}" failures="${failed}" errors="${broken}"`;
  const lines = cases.map((one) => {
    const start = `    <testcase classname="${attribute(one.file)}" name="${attribute(one.name)}" file="${attribute(one.file)}"`;
    if (one.outcome === 'passed') return `${start}/>\n`;
    const tag = one.outcome === 'failed' ? 'failure' : 'error';
    const [first = ''] = one.told.split('\n');
    return `${start}>\n      <${tag} message="${attribute(first)}">${escaped(one.told)}</${tag}>\n    </testcase>\n`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="keyless-pull" ${counts}>
  <testsuite name="keyless-pull test" ${counts}>
${lines.join('')}  </testsuite>
</testsuites>
`;
}

/** XML 1.0 has no place for most control characters, not even as references. https://www.w3.org/TR/xml/#charsets */
const FORBIDDEN = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu;

function escaped(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(FORBIDDEN, '\uFFFD')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;');
}

function attribute(text: string): string {
  return escaped(text).replaceAll('"', '&quot;').replaceAll(/\s+/g, ' ');
}
