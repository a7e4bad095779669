/**
 * `sallyport status`: asks the admin server of a running proxy how it is. Reads, changes nothing.
 */
import { Agent, request } from 'undici';
import type { WorkerState } from '../../admin/backend.ts';
import { parseStatusReport, type StatusReport } from '../../admin/status_report.ts';
import { loadConfig } from '../../config/load.ts';
import { formatSocketAddress, parseSocketAddress } from '../../model/address.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { shownLine } from '../../model/shown_text.ts';
import { parseJson } from '../../text/json_value.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { kubeFlagProblem } from '../kube_flags.ts';
import { yamlText } from '../terminal.ts';
import { textTable } from '../text_table.ts';

const DEFAULT_ADMIN = '127.0.0.1:9901';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const misused = kubeFlagProblem(args) ?? otherPlaceProblem(args);
  if (misused !== null) return usageError(io, `status: ${misused}`);
  // A client of Kubernetes is loaded when one is asked.
  if (args.has('kube')) return (await import('./cluster_status.ts')).runClusterStatus(args, io);
  const target = targetOf(args, io);
  if (target.kind === 'error') return usageError(io, `status: ${target.message}`);
  const fetched = await fetchStatus(target);
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

interface Target {
  readonly kind: 'target';
  readonly origin: string;
  readonly socketPath: string | null;
  readonly shown: string;
}

type TargetResult = Target | { readonly kind: 'error'; readonly message: string };

function targetOf(args: Args, io: Io): TargetResult {
  const flag = args.value('admin');
  if (flag !== null && args.has('config')) return wrong('give --admin or --config, not both');
  if (flag !== null) return parseTarget(flag, '--admin');
  const path = args.value('config');
  const variable = io.env['SALLYPORT_ADMIN'];
  if (path === null && variable !== undefined) return parseTarget(variable, 'SALLYPORT_ADMIN');
  if (path === null && io.env['SALLYPORT_CONFIG'] === undefined) {
    return parseTarget(DEFAULT_ADMIN, 'default');
  }
  const loaded = loadConfig({ path, flags: [], env: io.env, cwd: io.cwd });
  if (loaded.kind === 'rejected') return wrong(loaded.problems[0] ?? 'the configuration is wrong');
  const { admin } = loaded.config;
  switch (admin.kind) {
    case 'none':
      return wrong(`${loaded.config.path}: it has no admin server (field admin)`);
    case 'unix':
      return parseTarget(`unix:${admin.path}`, 'admin');
    case 'tcp':
      return parseTarget(formatSocketAddress(admin.address.ip, admin.address.port), 'admin');
  }
}

function parseTarget(text: string, from: string): TargetResult {
  if (/^unix:\/[^\u0000]+$/.test(text)) {
    const socketPath = text.slice('unix:'.length);
    return { kind: 'target', origin: 'http://localhost', socketPath, shown: text };
  }
  const address = parseSocketAddress(text.replace(/^localhost:/, '127.0.0.1:'));
  if (address === null) {
    return wrong(`${from}: "${text}" is no address; give 127.0.0.1:9901, [::1]:9901 or unix:/path`);
  }
  if (address.port === 0) {
    return wrong(
      `${from}: with port 0 the system chose a port at the start; the log line "ready" names it`,
    );
  }
  const shown = formatSocketAddress(address.ip, address.port);
  return { kind: 'target', origin: `http://${shown}`, socketPath: null, shown };
}

type Fetched =
  | { readonly kind: 'report'; readonly report: StatusReport }
  | { readonly kind: 'error'; readonly message: string };

async function fetchStatus(target: Target): Promise<Fetched> {
  const { adminTimeoutMs, connectTimeoutMs, policyBytesMax } = DEFAULT_LIMITS;
  const agent = new Agent({
    headersTimeout: adminTimeoutMs,
    bodyTimeout: adminTimeoutMs,
    maxResponseSize: policyBytesMax,
    connect: {
      timeout: connectTimeoutMs,
      ...(target.socketPath === null ? {} : { socketPath: target.socketPath }),
    },
  });
  try {
    const response = await request(`${target.origin}/status`, { dispatcher: agent });
    const text = await response.body.text();
    if (response.statusCode !== 200) {
      return { kind: 'error', message: `answered ${response.statusCode}: ${text.slice(0, 200)}` };
    }
    return parsedReport(text);
  } catch (error) {
    return { kind: 'error', message: connectionError(error) };
  } finally {
    await agent.close();
  }
}

function parsedReport(text: string): Fetched {
  const json = parseJson(text, DEFAULT_LIMITS);
  const report = json.kind === 'value' ? parseStatusReport(json.value) : null;
  if (report === null)
    return { kind: 'error', message: 'this is not the admin server of a Sallyport' };
  return { kind: 'report', report };
}

function connectionError(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ECONNREFUSED':
      return 'nothing listens there; is the proxy running, with this admin address?';
    case 'ENOENT':
      return 'there is no such socket; is the proxy running, with this admin address?';
    case 'EACCES':
      return 'permission denied; the socket is for the user who runs the proxy';
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return 'no answer in time';
    default:
      return `cannot be asked: ${message}`;
  }
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

function wrong(message: string): TargetResult {
  return { kind: 'error', message };
}
