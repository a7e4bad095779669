/** Results of policy tests as JUnit XML, as CI systems read it. */
import type { TestResult } from './policy_tests.ts';

export function junitXml(results: readonly TestResult[]): string {
  const files = [...new Set(results.map(({ file }) => file))];
  const suites = files.map((file) =>
    suiteXml(
      file,
      results.filter((result) => result.file === file),
    ),
  );
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ${countsXml(results)}>\n${suites.join('')}</testsuites>\n`;
}

function suiteXml(file: string, results: readonly TestResult[]): string {
  const cases = results.map((result) => caseXml(file, result)).join('');
  return `  <testsuite name="${escaped(file)}" ${countsXml(results)}>\n${cases}  </testsuite>\n`;
}

function caseXml(file: string, { name, failure }: TestResult): string {
  const open = `    <testcase classname="${escaped(file)}" name="${escaped(name)}"`;
  if (failure === null) return `${open}/>\n`;
  const message = failure.split('\n')[0] ?? '';
  return `${open}>\n      <failure message="${escaped(message)}">${escaped(failure)}</failure>\n    </testcase>\n`;
}

function countsXml(results: readonly TestResult[]): string {
  const failed = results.filter(({ failure }) => failure !== null).length;
  return `tests="${results.length}" failures="${failed}" errors="0" skipped="0"`;
}

/** XML 1.0 has no way to write most control characters, so they become U+FFFD. */
function escaped(text: string): string {
  return text
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\n', '&#10;');
}
