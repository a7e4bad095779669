/** `sallyport check`: validates and lints policies; every finding with file, line and field. */
import { unknownIdText } from '../control/decode/annotations.ts';
import { createJudge } from '../control/judge.ts';
import type { SourceBundle } from '../control/policy_set.ts';
import { isFindingId, isIgnorable } from '../policy/lint/finding_kinds.ts';
import type { Args } from './args.ts';
import { type CheckFinding, errorsOf, findingsOf, inOrder } from './check_findings.ts';
import { checkLines } from './check_text.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from './io.ts';
import { judgeOptions } from './judge_options.ts';
import { readSources } from './sources.ts';
import { yamlText } from './terminal.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const ignored = args.values('ignore').flatMap((list) => list.split(','));
  const problem = ignoreProblem(ignored);
  if (problem !== null) return usageError(io, `check: --ignore: ${problem}`);
  const sources = await readSources(args, io);
  if (sources.kind === 'error') return usageError(io, `check: ${sources.message}`);
  if (sources.bundle.policies.length === 0)
    return usageError(io, 'check: there are no policy files');
  const all = findingsIn(sources.bundle);
  const told = all.filter(({ id, isIgnored }) => !isIgnored && !ignored.includes(id));
  const ignoredCount = all.length - told.length;
  print(args, io, { told, ignoredCount, fileCount: sources.bundle.policies.length });
  const counted = told.filter(({ severity }) => severity !== 'note' || args.has('strict'));
  return counted.length === 0 ? EXIT_OK : EXIT_NEGATIVE;
}

function findingsIn(bundle: SourceBundle): readonly CheckFinding[] {
  const created = createJudge(bundle, judgeOptions());
  return inOrder(created.kind === 'rejected' ? errorsOf(created.problems) : findingsOf(created));
}

function ignoreProblem(ids: readonly string[]): string | null {
  for (const id of ids) {
    if (!isFindingId(id)) return unknownIdText(id);
    if (!isIgnorable(id)) return `"${id}" is an error: it rejects the set, ignored or not`;
  }
  return null;
}

interface Result {
  readonly told: readonly CheckFinding[];
  readonly ignoredCount: number;
  readonly fileCount: number;
}

function print(args: Args, io: Io, result: Result): void {
  const { ignoredCount } = result;
  const format = args.value('output') ?? 'table';
  if (format === 'table') {
    const lines = checkLines(result, { isAll: args.has('all'), io });
    io.stdout.write(`${lines.join('\n')}\n`);
    return;
  }
  const findings = result.told.map(({ isIgnored: _, ...finding }) => finding);
  const value = { findings, ...(ignoredCount === 0 ? {} : { ignored: ignoredCount }) };
  io.stdout.write(format === 'json' ? `${JSON.stringify(value, null, 2)}\n` : yamlText(value));
}
