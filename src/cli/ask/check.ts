/** `sallyport check`: validates and lints policies; every finding with file, line and field. */

import type { Config } from '../../config/config.ts';
import type { JudgeOptions } from '../../control/ask/judge.ts';
import { judgeBundle } from '../../control/ask/judge_bundle.ts';
import { unknownIdText } from '../../control/decode/annotations.ts';
import { placeFields } from '../../control/decode/place.ts';
import type { SourceBundle } from '../../control/source/files/source_bundle.ts';
import { jsonDocument } from '../../model/json_document.ts';
import { isFindingId, isIgnorable } from '../../policy/lint/finding_kinds.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, EXIT_USAGE, type ExitCode, type Io, usageError } from '../io.ts';
import { paint, yamlText } from '../terminal.ts';
import { askedPlace } from './asked_place.ts';
import { readCheckedCluster } from './check_cluster.ts';
import { type CheckFinding, errorsOf, findingsOf, inOrder } from './check_findings.ts';
import { checkLines } from './check_text.ts';
import { type ClusterChange, clusterChangeDocument, clusterChangeLines } from './cluster_change.ts';
import {
  NO_FILES,
  readConfiguredSources,
  type StartReport,
  startReport,
} from './configured_sources.ts';
import { judgeOptions } from './judge_options.ts';
import { readSources } from './sources.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const ignored = args.values('ignore').flatMap((list) => list.split(','));
  const problem = ignoreProblem(ignored);
  if (problem !== null) return usageError(io, `check: --ignore: ${problem}`);
  const place = askedPlace(args, io);
  if (place.kind === 'error') return usageError(io, `check: ${place.message}`);
  if (place.kind === 'rejected') {
    for (const text of place.problems) io.stderr.write(`sallyport: ${text}\n`);
    return EXIT_USAGE;
  }
  if (place.kind === 'cluster') return checkCluster(args, { io, ignored }, place.config);
  if (args.has('flows')) return usageError(io, `check: ${FLOWS_ALONE}`);
  if (place.kind === 'configuration') return checkConfigured(args, { io, ignored }, place.config);
  const sources = await readSources(args, io);
  if (sources.kind === 'error') return usageError(io, `check: ${sources.message}`);
  const { bundle } = sources;
  if (bundle.policies.length === 0) return usageError(io, 'check: there are no policy files');
  return tell(
    args,
    { io, ignored },
    {
      checked: filesText(bundle.policies.length),
      all: findingsIn(bundle, judgeOptions()),
      start: null,
    },
  );
}

const FLOWS_ALONE =
  '--flows says what flows of a cluster would become; it goes with --kube -p FILE';

async function checkCluster(
  args: Args,
  surroundings: Surroundings,
  config: Config | null,
): Promise<ExitCode> {
  const { io } = surroundings;
  const sources = config === null ? null : readConfiguredSources(config);
  const beside = sources?.bundle ?? NO_FILES;
  const checked = await readCheckedCluster(args, io, { config, beside });
  if (checked.kind === 'error') return usageError(io, `check: ${checked.message}`);
  const { change, policyCount, fileCount } = checked;
  const all = inOrder(checked.findings);
  const found = {
    checked: [
      ...(policyCount === null ? [] : [`${policyCount} policies of the cluster`]),
      ...(fileCount === 0 ? [] : [filesText(fileCount)]),
    ].join(' and '),
    all,
    // A bad object of a cluster is refused alone.
    start: sources === null ? null : startReport(sources, policyCount === null),
    change,
  };
  return tell(args, surroundings, found);
}

function filesText(count: number): string {
  return `${count} ${count === 1 ? 'file' : 'files'}`;
}

interface Surroundings {
  readonly io: Io;
  readonly ignored: readonly string[];
}

function checkConfigured(args: Args, surroundings: Surroundings, config: Config): ExitCode {
  const { io } = surroundings;
  if (args.arguments.length > 0) {
    return usageError(io, 'check: --config names its own policies; give one or the other');
  }
  const sources = readConfiguredSources(config);
  const { bundle } = sources;
  const { limits, isEmptySetOpen } = config;
  const { isHostJudged } = config.redirect;
  const all = findingsIn(bundle, { ...judgeOptions(limits), isEmptySetOpen, isHostJudged });
  const isSetRejected = all.some(({ id }) => id === 'invalid');
  const start = startReport(sources, isSetRejected);
  return tell(args, surroundings, { checked: filesText(bundle.policies.length), all, start });
}

interface Found {
  /** "3 files". */
  readonly checked: string;
  readonly all: readonly CheckFinding[];
  /** Of a configuration: whether `run` would start, and what else keeps it from that. */
  readonly start: StartReport | null;
  /** What files that are laid over a cluster would change there. */
  readonly change?: ClusterChange | null;
}

function tell(
  args: Args,
  { io, ignored }: Surroundings,
  { checked, all, start, change = null }: Found,
): ExitCode {
  const told = all.filter(({ id, isIgnored }) => !isIgnored && !ignored.includes(id));
  const ignoredCount = all.length - told.length;
  print(args, io, { told, ignoredCount, checked, start, change });
  const counted = told.filter(({ severity }) => severity !== 'note' || args.has('strict'));
  const isBad = start !== null && (!start.wouldStart || start.problems.length > 0);
  return counted.length === 0 && !isBad ? EXIT_OK : EXIT_NEGATIVE;
}

function findingsIn(bundle: SourceBundle, options: JudgeOptions): readonly CheckFinding[] {
  const created = judgeBundle(bundle, { ...options, isApiServerChecked: true });
  return inOrder(
    created.kind === 'rejected' ? errorsOf(created.problems) : findingsOf(created, options),
  );
}

function ignoreProblem(ids: readonly string[]): string | null {
  for (const id of ids) {
    if (!isFindingId(id)) return unknownIdText(id);
    if (!isIgnorable(id)) return `"${id}" is an error; it rejects the set even when it is ignored`;
  }
  return null;
}

interface Result {
  readonly told: readonly CheckFinding[];
  readonly ignoredCount: number;
  readonly checked: string;
  readonly start: StartReport | null;
  readonly change: ClusterChange | null;
}

function print(args: Args, io: Io, result: Result): void {
  const { ignoredCount, start, change } = result;
  const format = args.value('output') ?? 'table';
  if (format === 'table') {
    const lines = checkLines(result, { isAll: args.has('all'), io });
    if (start !== null) {
      lines.push(...start.problems.map((problem) => `${paint(io, 'red', 'error')}: ${problem}`));
      lines.push(start.text);
    }
    if (change !== null) lines.push('', ...clusterChangeLines(change, args, io));
    io.stdout.write(`${lines.join('\n')}\n`);
    return;
  }
  const findings = result.told.map(({ isIgnored: _, place, ...finding }) => ({
    ...placeFields(place),
    ...finding,
  }));
  const value = jsonDocument('Findings', {
    findings,
    ...(ignoredCount === 0 ? {} : { ignored: ignoredCount }),
    ...(start === null ? {} : { wouldStart: start.wouldStart, problems: start.problems }),
    ...(change === null ? {} : { changes: clusterChangeDocument(change, args) }),
  });
  io.stdout.write(format === 'json' ? `${JSON.stringify(value, null, 2)}\n` : yamlText(value));
}
