/** `sallyport check`: validates and lints policies; every finding with file, line and field. */
import { stringify } from 'yaml';
import { positionKey } from '../control/decode/context.ts';
import { formatProblem, type Problem } from '../control/decode/problem.ts';
import { createJudge } from '../control/judge.ts';
import type { PolicySet } from '../control/policy_set.ts';
import type { Finding } from '../policy/lint/finding.ts';
import { lintSpecs } from '../policy/lint/lint.ts';
import type { Args } from './args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from './io.ts';
import { judgeOptions } from './judge_options.ts';
import { readSources } from './sources.ts';

type Severity = 'error' | 'warning' | 'note';

interface CheckFinding extends Problem {
  readonly severity: Severity;
  /** Of a lint finding; "invalid" for what rejects the set, "advice" for other warnings. */
  readonly code: string;
}

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const sources = await readSources(args, io);
  if (sources.kind === 'error') return usageError(io, `check: ${sources.message}`);
  if (sources.bundle.policies.length === 0)
    return usageError(io, 'check: there are no policy files');
  const created = createJudge(sources.bundle, judgeOptions());
  const findings =
    created.kind === 'rejected'
      ? created.problems.map(
          (problem): CheckFinding => ({ ...problem, severity: 'error', code: 'invalid' }),
        )
      : [
          ...created.warnings.map(
            (problem): CheckFinding => ({ ...problem, severity: 'warning', code: 'advice' }),
          ),
          ...lint(created.set),
        ].toSorted(byPlace);
  print(args, io, findings, sources.bundle.policies.length);
  const counted = findings.filter(({ severity }) => severity !== 'note' || args.has('strict'));
  return counted.length === 0 ? EXIT_OK : EXIT_NEGATIVE;
}

function lint(set: PolicySet): CheckFinding[] {
  const { endpoints } = set.inventory;
  const names = endpoints.flatMap(({ namedPorts }) => namedPorts.map(({ name }) => name));
  const namedPorts = endpoints.length === 0 ? null : new Set(names);
  return lintSpecs(set.specs, { namedPorts }).map((finding) => located(finding, set));
}

function located(finding: Finding, set: PolicySet): CheckFinding {
  const position = set.positions.get(positionKey(finding.origin));
  return {
    path: position?.path ?? finding.origin.policy,
    line: position?.line ?? 0,
    column: position?.column ?? 0,
    field: finding.origin.rule,
    message: finding.message,
    severity: finding.severity,
    code: finding.code,
  };
}

function byPlace(a: CheckFinding, b: CheckFinding): number {
  if (a.path !== b.path) return a.path < b.path ? -1 : 1;
  return a.line - b.line || a.column - b.column;
}

const COLOURS = { error: 31, warning: 33, note: 36 } as const satisfies Record<Severity, number>;

function print(args: Args, io: Io, findings: readonly CheckFinding[], fileCount: number): void {
  const format = args.value('output') ?? 'table';
  if (format !== 'table') {
    io.stdout.write(
      format === 'json' ? `${JSON.stringify({ findings }, null, 2)}\n` : stringify({ findings }),
    );
    return;
  }
  for (const finding of findings) {
    const word = io.hasColour
      ? `\u001b[${COLOURS[finding.severity]}m${finding.severity}\u001b[0m`
      : finding.severity;
    io.stdout.write(`${word}: ${formatProblem(finding)} [${finding.code}]\n`);
  }
  const count = (severity: Severity): number =>
    findings.filter((finding) => finding.severity === severity).length;
  const counts = `${count('error')} errors, ${count('warning')} warnings, ${count('note')} notes`;
  io.stdout.write(`${fileCount} ${fileCount === 1 ? 'file' : 'files'}: ${counts}\n`);
}
