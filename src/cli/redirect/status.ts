/** `sallyport redirect status`: looks, compares, tells. Changes nothing. */

import type { Config } from '../../config/config.ts';
import { jsonDocument } from '../../model/json_document.ts';
import { shownLine } from '../../model/shown_text.ts';
import { type NodeLinks, readLinks } from '../../redirect/host/links.ts';
import type { Inspection } from '../../redirect/inspect.ts';
import type { CounterName } from '../../redirect/layout.ts';
import type { ServicesInspection } from '../../redirect/services/inspect_services.ts';
import { errorText } from '../../text/error_text.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io } from '../io.ts';
import { textTable } from '../text_table.ts';
import { type RedirectNode, routingOf, thisNode } from './node.ts';
import { findingProblems, findUplinks, interfacelessTexts } from './node_sight.ts';
import { NodePolicy } from './policy.ts';
import { type RedirectReport, reportOf, type ServicesReport, type WaitsReport } from './report.ts';
import { namesOf, REASONS, trafficText } from './rows.ts';
import { servicesProblems } from './services.ts';

export interface StatusOptions {
  readonly io: Io;
  readonly isJson: boolean;
}

export async function redirectStatus(
  config: Config,
  options: StatusOptions,
  node: RedirectNode = thisNode(config),
): Promise<ExitCode> {
  const { io, isJson } = options;
  const found = look(config, node);
  if (found.kind === 'nothing') {
    const problems = [...node.missingFeatures(), ...found.problems];
    if (isJson)
      io.stdout.write(
        `${JSON.stringify(jsonDocument('RedirectStatus', { isHealthy: false, problems }), null, 2)}\n`,
      );
    else for (const problem of problems) io.stdout.write(`${shownLine(problem)}\n`);
    return EXIT_NEGATIVE;
  }
  const links = await readLinks(node.run);
  if (links.kind === 'error') {
    io.stderr.write(`sallyport: ${links.message}\n`);
    return EXIT_NEGATIVE;
  }
  const seen = { inspection: found.inspection, links: links.links };
  const report = await compare(config, node, seen);
  if (isJson)
    io.stdout.write(`${JSON.stringify(jsonDocument('RedirectStatus', report), null, 2)}\n`);
  else io.stdout.write(tablesOf(report, config.limits.statusRowCountMax));
  return report.isHealthy ? EXIT_OK : EXIT_NEGATIVE;
}

type Found =
  | { readonly kind: 'found'; readonly inspection: Inspection }
  | { readonly kind: 'nothing'; readonly problems: readonly string[] };

function look(config: Config, node: RedirectNode): Found {
  const { root } = config.redirect;
  try {
    const inspection = node.inspect(root);
    if (inspection !== null) return { kind: 'found', inspection };
    return { kind: 'nothing', problems: [`not up: nothing of this version is pinned at ${root}`] };
  } catch (error) {
    return { kind: 'nothing', problems: [`${root} cannot be read: ${errorText(error)}`] };
  }
}

async function compare(
  config: Config,
  node: RedirectNode,
  seen: { readonly inspection: Inspection; readonly links: NodeLinks },
): Promise<RedirectReport> {
  const policy = new NodePolicy(config, { isKept: false });
  const read = await policy.start();
  await policy.stop();
  const isRejected = read.kind === 'rejected';
  const { areInterfacesFound } = config.redirect;
  const isLooking = areInterfacesFound && !isRejected;
  const found = isLooking
    ? await node.podInterfaces(config).find(policy.asked, policy.takenInterfaces)
    : null;
  const { links } = seen;
  const taken = isRejected ? new Set<string>() : policy.takenInterfaces;
  const uplinks = await findUplinks(config, node, { links, taken });
  const sight = { links, found, uplinks: uplinks.kind === 'error' ? [] : uplinks.names };
  const wanted = isRejected ? null : { plan: policy.plan(sight), table: policy.table };
  return reportOf({
    ...seen,
    wanted,
    findingProblems: [...interfacelessTexts(sight, config), ...findingProblems(sight, config)],
    waits: areInterfacesFound ? node.notedWaits(config) : null,
    rejected: isRejected ? read.problems : [],
    routing: await routingOf(config, node).check(),
    missingFeatures: node.missingFeatures(),
    object: node.builtObject(),
    netns: node.netns(),
    isFollowed: node.isLocked(config.redirect.root),
    names: namesOf(policy.snapshot),
    nowNs: node.nowNs(),
    services: servicesOf(config, node),
    servicesProblems: servicesProblems(config, node),
  });
}

function servicesOf(config: Config, node: RedirectNode): ServicesInspection | null {
  try {
    return node.services.inspect(config);
  } catch {
    // Told among the problems.
    return null;
  }
}

function tablesOf(report: RedirectReport, rowsMax: number): string {
  const { listeners, generation, isFollowed } = report;
  const head = [
    `state       ${report.isHealthy ? 'up' : `up, with problems (${report.problems.length})`}`,
    `generation  ${generation}${isFollowed ? ', a loader follows' : ', nobody follows changes'}`,
    `listeners   ${listeners.ip4} of IPv4, ${listeners.ip6} of IPv6; for datagrams ${listeners.datagrams4} and ${listeners.datagrams6}`,
    `object      ${report.object ?? 'unknown'}`,
    ...(report.waits === null ? [] : [`waiting     ${waitsText(report.waits)}`]),
    ...(report.services === null ? [] : [`services    ${servicesText(report.services)}`]),
  ];
  const parts = [
    `${head.join('\n')}\n`,
    problemLines(report.problems, rowsMax),
    table(
      ['INTERFACE', 'INDEX', 'OF', 'STATE'],
      report.interfaces.map(({ name, ifindex, of, state }) => [
        name,
        String(ifindex ?? '-'),
        of,
        state,
      ]),
      rowsMax,
    ),
    table(
      ['REDIRECTED: ENDPOINT', 'DIRECTION', 'PORTS', 'REMOTES'],
      report.redirected.map(({ endpoint, direction, protocol, ports, remotes }) => [
        endpoint,
        direction,
        `${protocol} ${ports}`,
        remotes.join('; '),
      ]),
      rowsMax,
    ),
    table(
      ['LAST REFUSALS: FROM', 'TO', 'WHAT', 'TIMES', 'AGO', 'BECAUSE'],
      report.refusals.map(({ from, to, protocol, port, count, secondsAgo, reason }) => [
        from,
        to,
        trafficText(protocol, port),
        String(count),
        `${secondsAgo.toFixed(1)} s`,
        REASONS[reason as CounterName],
      ]),
      rowsMax,
    ),
    table(
      ['COUNTER', 'PACKETS'],
      Object.entries(report.counters)
        .filter(([, value]) => value > 0)
        .map(([name, value]) => [name, String(value)]),
      rowsMax,
    ),
    table(
      ['PROGRAM', 'ID', 'NS A RUN'],
      report.programs.map(({ name, id, nsPerRun }) => [name, String(id), String(nsPerRun ?? '-')]),
      rowsMax,
    ),
    table(
      ['MAP', 'ENTRIES', 'OF'],
      report.maps.map(({ name, entries, entriesMax }) => [
        name,
        String(entries),
        String(entriesMax),
      ]),
      rowsMax,
    ),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

function servicesText({ frontends, backends, counters }: ServicesReport): string {
  const counted = Object.entries(counters).filter(([, value]) => value > 0);
  const parts = counted.map(([name, value]) => `${name} ${value}`);
  return [`${frontends} addresses, ${backends} backends`, ...parts].join(', ');
}

function waitsText(waits: WaitsReport): string {
  const { interfaces, pods, overdue, longestSeconds, opened } = waits;
  const now = `${interfaces} closed interfaces, ${pods} pods without one`;
  const long = interfaces + pods === 0 ? '' : `, at most ${longestSeconds.toFixed(1)} s`;
  const late = overdue === 0 ? '' : `, ${overdue} for too long`;
  if (opened.count === 0) return `${now}${long}${late}`;
  const means = `${opened.meanSeconds.toFixed(2)} s on average, ${opened.longestSeconds.toFixed(2)} s at most`;
  return `${now}${long}${late}; ${opened.count} opened after ${means}`;
}

function problemLines(problems: readonly string[], rowsMax: number): string {
  const lines = problems.slice(0, rowsMax).map((one) => `! ${shownLine(one)}\n`);
  const more = problems.length - lines.length;
  return lines.join('') + (more > 0 ? `! and ${more} more (-o json)\n` : '');
}

function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  rowsMax: number,
): string {
  if (rows.length === 0) return '';
  const shown = rows.slice(0, rowsMax).map((row) => row.map(shownLine));
  const more = rows.length - shown.length;
  return textTable(header, shown) + (more > 0 ? `and ${more} more (-o json)\n` : '');
}
