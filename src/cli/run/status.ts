/**
 * `sallyport status`: asks the admin server of a running proxy how it is. Reads, changes nothing.
 */
import type { WorkerState } from '../../admin/backend.ts';
import { parseStatusReport, type StatusReport } from '../../admin/status_report.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { shownLine } from '../../model/shown_text.ts';
import { parseJson } from '../../text/json_value.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { kubeFlagProblem } from '../kube_flags.ts';
import { yamlText } from '../terminal.ts';
import { textTable } from '../text_table.ts';
import { fetchText, targetOf } from './admin_client.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const misused = kubeFlagProblem(args) ?? otherPlaceProblem(args);
  if (misused !== null) return usageError(io, `status: ${misused}`);
  // A client of Kubernetes is loaded when one is asked.
  if (args.has('kube')) return (await import('./cluster_status.ts')).runClusterStatus(args, io);
  const target = targetOf(args, io);
  if (target.kind === 'error') return usageError(io, `status: ${target.message}`);
  const answer = await fetchText(target, '/status');
  const fetched = answer.kind === 'error' ? answer : parsedReport(answer.text);
  if (fetched.kind === 'error') {
    io.stderr.write(`sallyport: status: ${target.shown}: ${shownLine(fetched.message)}\n`);
    return EXIT_NEGATIVE;
  }
  const { report } = fetched;
  const output = args.value('output') ?? 'table';
  if (output === 'json') io.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  else if (output === 'yaml') io.stdout.write(yamlText(report));
  else io.stdout.write(tableOf(report, args.has('all')));
  const isClusterOld = (report.cluster?.stale.length ?? 0) > 0;
  const isOld = Boolean(report.stale) || report.refused !== undefined || isClusterOld;
  const isStale = args.has('strict') && isOld;
  return report.ready && !isStale ? EXIT_OK : EXIT_NEGATIVE;
}

function otherPlaceProblem(args: Args): string | null {
  const other = args.has('kube') ? ['config', 'admin'].find((name) => args.has(name)) : undefined;
  if (other === undefined) return null;
  return `--kube asks the cluster, and --${other} something else; give one or the other`;
}

type Fetched =
  | { readonly kind: 'report'; readonly report: StatusReport }
  | { readonly kind: 'error'; readonly message: string };

function parsedReport(text: string): Fetched {
  const json = parseJson(text, DEFAULT_LIMITS);
  const report = json.kind === 'value' ? parseStatusReport(json.value) : null;
  if (report === null)
    return { kind: 'error', message: 'this is not the admin server of a Sallyport' };
  return { kind: 'report', report };
}

/** Rows of a table that are shown without `--all`. */
const ROWS_SHOWN_MAX = 20;

function tableOf(report: StatusReport, isAll: boolean): string {
  const { revision, requests, allowed, denied, faults } = report;
  const facts: (readonly [string, string])[] = [
    ['ready', report.ready ? 'yes' : `no: ${report.reason ?? 'unknown'}`],
    ['version', report.version['sallyport'] ?? 'unknown'],
    ['policy', `revision ${revision} (policies: ${report.policies}, rules: ${report.rules})`],
    ['endpoints', String(report.endpoints)],
    ['connections', `${report.connectionsOpen} open, ${report.connectionsOpened} so far`],
    ['requests', `${requests}, ${allowed} allowed, ${denied} denied, ${faults} faults`],
    ['log lines lost', String(report.accessLogDropped)],
    ['internal errors', String(report.internalErrors)],
  ];
  // A proxy of before does not tell.
  if (report.stale) {
    const { problems, problemCount = problems.length } = report.stale;
    const [first = 'rejected'] = problems;
    const more = problemCount <= 1 ? '' : ` (and ${problemCount - 1} more)`;
    facts.splice(3, 0, ['STALE', `since ${report.stale.since}: ${first}${more}`]);
  }
  if (report.services !== undefined) facts.push(['services', servicesText(report.services)]);
  facts.push(...nameFacts(report));
  if (report.cluster !== undefined) facts.push(['cluster', clusterText(report.cluster)]);
  if (report.refused !== undefined) facts.push(['REFUSED', refusedText(report.refused)]);
  facts.push(...dryRunFacts(report));
  const width = Math.max(...facts.map(([name]) => name.length));
  const parts = [
    facts.map(([name, text]) => `${name.padEnd(width)}  ${shownLine(text)}\n`).join(''),
    textTable(
      ['LISTENER', 'ADDRESS'],
      report.listeners.map(({ name, address }) => [shownLine(name), shownLine(address)]),
    ),
    textTable(
      ['WORKER', 'STATE', 'PID', 'REVISION', 'RESTARTS', 'CONNECTIONS', 'REQUESTS', 'BUSY S'],
      report.workers.map((worker) => workerRow(report, worker)),
    ),
  ];
  if (report.unused.length > 0) {
    const shown = isAll ? report.unused : report.unused.slice(0, ROWS_SHOWN_MAX);
    const rows = shown.map(({ policy, rule }) => [shownLine(policy), shownLine(rule)]);
    const more = report.unused.length - shown.length;
    const rest = more === 0 ? '' : `and ${more} more (--all, or -o json)\n`;
    parts.push(`${textTable(['UNUSED RULES OF POLICY', 'RULE'], rows)}${rest}`);
  }
  return parts.join('\n');
}

function clusterText({ stale, restoredAt }: NonNullable<StatusReport['cluster']>): string {
  const [first] = stale;
  if (first === undefined) return 'up to date';
  const { part, since, problem } = first;
  const more = stale.length <= 1 ? '' : ` (and ${stale.length - 1} more)`;
  const kept = restoredAt === null ? '' : `AS KEPT ON DISK at ${restoredAt}; `;
  return `${kept}STALE since ${since}: ${part}: ${problem}${more}`;
}

/** How their addresses are judged; what the kernel does is told by `redirect status`. */
function servicesText(services: NonNullable<StatusReport['services']>): string {
  const { count, addresses, backends, inForce, staleSince, source, mode, conflicts } = services;
  const known = `${count} (addresses: ${addresses}, backends: ${backends}) of the ${source}`;
  const state = inForce ? 'in force' : 'NOT YET IN FORCE in every worker';
  const old = staleSince === null ? '' : `; STALE since ${staleSince}`;
  const [first] = conflicts;
  const contested = first === undefined ? '' : `; CLAIMED TWICE: ${first}`;
  const more = conflicts.length <= 1 ? '' : ` (and ${conflicts.length - 1} more)`;
  return `${known}, ${state}; redirect.services: ${mode}${old}${contested}${more}`;
}

/** Nothing of a proxy that has heard of no name. */
function nameFacts({ names }: StatusReport): readonly (readonly [string, string])[] {
  if (names === undefined) return [];
  const refused = Object.values(names.refused).reduce((sum, count) => sum + count, 0);
  if (names.learned + refused === 0) return [];
  const kept = names.keptIn === null ? 'until this process ends' : `in ${names.keptIn}`;
  const gone = `evicted: ${names.evicted}, expired: ${names.expired}, refused: ${refused}`;
  return [['names', `${names.names} (addresses: ${names.addresses}; ${gone}), kept ${kept}`]];
}

function refusedText({ objects, count }: NonNullable<StatusReport['refused']>): string {
  const [first] = objects;
  const more = count <= 1 ? '' : ` (and ${count - 1} more)`;
  if (first === undefined) return `${count} policies`;
  const { object, inForce, problems } = first;
  return `${object}, ${IN_FORCE[inForce]}: ${problems[0] ?? 'refused'}${more}`;
}

const IN_FORCE = {
  'last-good': 'its last good form is in force',
  absent: 'nothing of it is in force',
  deny: 'what it selects is denied',
} as const;

function dryRunFacts({ dryRun }: StatusReport): (readonly [string, string])[] {
  if (dryRun === undefined) return [];
  const { proxy, policies } = dryRun;
  const facts: (readonly [string, string])[] = [];
  if (proxy) facts.push(['DRY-RUN', 'the whole proxy: denials are logged and not enforced']);
  if (policies.length > 0) {
    const more = policies.length - ROWS_SHOWN_MAX;
    const names = policies.slice(0, ROWS_SHOWN_MAX).join(', ');
    facts.push(['dry-run', `judged, not enforced: ${names}${more > 0 ? ` and ${more} more` : ''}`]);
  }
  return facts;
}

/** Loads that differ much between workers: connections that are few and long (docs/observability.md). */
function workerRow(report: StatusReport, worker: WorkerState): string[] {
  const { index, state, pid, revision, restartCount } = worker;
  // A proxy of before does not tell.
  const load = report.workerLoads?.[String(index)];
  const cells = [
    ...[index, state, pid, revision, restartCount],
    ...[load?.connectionsOpen ?? '', load?.requests ?? '', load?.busySeconds.toFixed(1) ?? ''],
  ];
  return cells.map((cell) => shownLine(String(cell)));
}
