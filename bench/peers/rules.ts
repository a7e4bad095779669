/** The rules of a run and the log of each request, for what is written by hand. */
import { createWriteStream, readFileSync } from 'node:fs';
import RE2 from 're2';
import { type BenchRule, PLAIN_RULES } from '../subjects/subject.ts';

/** Of a file; without one those of all suites. */
export function readRules(file: string): (method: string, path: string) => boolean {
  const rules: readonly BenchRule[] =
    file === '' ? PLAIN_RULES : JSON.parse(readFileSync(file, 'utf8'));
  const literals = new Set<string>();
  const patterns: { method: string; pattern: RE2 }[] = [];
  for (const { method, path, isPattern } of rules) {
    if (isPattern) patterns.push({ method, pattern: new RE2(`^(?:${path})$`) });
    else literals.add(`${method} ${path}`);
  }
  return (method, target) => {
    const query = target.indexOf('?');
    const path = query === -1 ? target : target.slice(0, query);
    if (literals.has(`${method} ${path}`)) return true;
    return patterns.some((rule) => rule.method === method && rule.pattern.test(path));
  };
}

export type Logger = (method: string, path: string, status: number) => void;

/** Without a path: nothing is logged. */
export function openLog(path: string | undefined): Logger {
  if (path === undefined) return () => {};
  const file = createWriteStream(path, { flags: 'a' });
  return (method, target, status) => {
    file.write(`${JSON.stringify({ time: new Date().toISOString(), method, target, status })}\n`);
  };
}
