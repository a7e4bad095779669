/**
 * What `sallyport redirect status` says, from what the kernel has (`inspect`), what the node has and what
 * the files want. Pure; problems are what makes the exit code 1.
 */
import type { KernelTable } from '../../policy/kernel/kernel_table.ts';
import { differences } from '../../redirect/differences.ts';
import type { NodeLinks } from '../../redirect/host/links.ts';
import type { RoutingState } from '../../redirect/host/routing.ts';
import type { InspectedLink, Inspection, ListenerSlots } from '../../redirect/inspect.ts';
import type { WaitCounts } from '../../redirect/interfaces/interface_waits.ts';
import { SETTINGS_OF_FILES } from '../../redirect/layout.ts';
import { settingsOf, type TablePlan } from '../../redirect/plan.ts';
import type { ServicesInspection } from '../../redirect/services/inspect_services.ts';
import { UNREADABLE } from './loader.ts';
import { type Names, type RedirectedRow, redirectedRows } from './rows.ts';

export interface ReportInput {
  readonly inspection: Inspection;
  /** What the files say now; null: they are rejected. */
  readonly wanted: { readonly plan: TablePlan; readonly table: KernelTable } | null;
  /** Why they are rejected. */
  readonly rejected: readonly string[];
  readonly links: NodeLinks;
  /** Pods of this node that have no interface, and what keeps interfaces from being found. */
  readonly findingProblems: readonly string[];
  /** Of the loader; null: it looks for no interfaces, or has told nothing yet. */
  readonly waits: WaitCounts | null;
  readonly routing: RoutingState;
  readonly missingFeatures: readonly string[];
  /** SHA-256 of the object that this version would load; null: it is not built here. */
  readonly object: string | null;
  /** Inode of this network namespace. */
  readonly netns: number;
  readonly isFollowed: boolean;
  readonly names: Names;
  /** bpf_ktime_get_ns of now. */
  readonly nowNs: bigint;
  /** Null: there are none, or they cannot be read. */
  readonly services: ServicesInspection | null;
  readonly servicesProblems: readonly string[];
}

export interface RedirectReport {
  readonly isHealthy: boolean;
  readonly problems: readonly string[];
  readonly generation: number;
  readonly isFollowed: boolean;
  readonly object: string | null;
  readonly listeners: ListenerSlots;
  readonly programs: readonly ProgramRow[];
  readonly interfaces: readonly InterfaceRow[];
  /** Null: no interfaces are looked for. */
  readonly waits: WaitsReport | null;
  readonly maps: readonly MapRow[];
  readonly counters: Readonly<Record<string, number>>;
  readonly redirected: readonly RedirectedRow[];
  readonly refusals: readonly RefusalRow[];
  /** Null: addresses of Services are not translated. */
  readonly services: ServicesReport | null;
}

export interface ServicesReport {
  readonly frontends: number;
  readonly backends: number;
  readonly counters: Readonly<Record<string, number>>;
}

/** Interfaces and pods that wait for each other. */
export interface WaitsReport {
  readonly interfaces: number;
  readonly pods: number;
  readonly overdue: number;
  readonly longestSeconds: number;
  readonly opened: {
    readonly count: number;
    readonly meanSeconds: number;
    readonly longestSeconds: number;
  };
}

export interface ProgramRow {
  readonly name: string;
  readonly id: number;
  /** Null unless kernel.bpf_stats_enabled was on. */
  readonly nsPerRun: number | null;
}

export interface InterfaceRow {
  readonly name: string;
  readonly ifindex: number | null;
  /** An endpoint's name, or "uplink". */
  readonly of: string;
  readonly state: 'attached' | 'claimed' | 'not attached' | 'not there' | 'unreadable' | 'not ours';
}

export interface MapRow {
  readonly name: string;
  readonly entries: number;
  readonly entriesMax: number;
}

export interface RefusalRow {
  readonly secondsAgo: number;
  readonly count: number;
  readonly reason: string;
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly port: number;
}

export function reportOf(input: ReportInput): RedirectReport {
  const { inspection } = input;
  const interfaces = interfaceRows(input);
  const redirected = input.wanted === null ? [] : redirectedRows(input.wanted.table, input.names);
  const problems = [
    ...input.missingFeatures,
    ...loadProblems(input),
    ...interfaces.flatMap(interfaceProblem),
    ...input.findingProblems,
    ...overdueProblems(input),
    ...input.routing.problems,
    ...input.routing.missing.map((about) => `missing: ${about}`),
    ...(input.links.isLoopbackUp ? [] : ['interface lo is down: nothing can be redirected']),
    ...listenerProblems(inspection, redirected.length > 0),
    ...tableProblems(input),
    ...input.servicesProblems,
  ];
  return {
    isHealthy: problems.length === 0,
    problems,
    generation: inspection.generation,
    isFollowed: input.isFollowed,
    object: inspection.object,
    listeners: inspection.listeners,
    programs: inspection.programs.map(({ name, id, runCount, runTimeNs }) => ({
      name,
      id,
      nsPerRun: runCount === 0n ? null : Number(runTimeNs / runCount),
    })),
    interfaces,
    waits: input.waits === null ? null : waitsReport(input.waits, input.nowNs),
    maps: inspection.maps.map(({ name, entryCount, maxEntries }) => ({
      name,
      entries: entryCount,
      entriesMax: maxEntries,
    })),
    counters: Object.fromEntries(
      Object.entries(inspection.counters).map(([name, value]) => [name, Number(value)]),
    ),
    redirected,
    refusals: refusalRows(input),
    services: input.services === null ? null : servicesReport(input.services),
  };
}

function servicesReport({ frontends, backends, counters }: ServicesInspection): ServicesReport {
  const numbers = Object.entries(counters).map(([name, value]) => [name, Number(value)]);
  return { frontends, backends, counters: Object.fromEntries(numbers) };
}

function waitsReport(waits: WaitCounts, nowNs: bigint): WaitsReport {
  const { interfaces, pods, overdue, oldestSinceMs } = waits;
  const { openedTotal: count, openedWaitMsTotal, openedWaitMsMax } = waits;
  const nowMs = Number(nowNs / 1_000_000n);
  return {
    ...{ interfaces, pods, overdue },
    longestSeconds: oldestSinceMs === 0 ? 0 : Math.max(0, nowMs - oldestSinceMs) / 1000,
    opened: {
      count,
      meanSeconds: count === 0 ? 0 : openedWaitMsTotal / count / 1000,
      longestSeconds: openedWaitMsMax / 1000,
    },
  };
}

/** Pods are told with the reason. */
function overdueProblems({ waits }: ReportInput): string[] {
  if (waits === null || waits.overdue === 0 || waits.interfaces === 0) return [];
  return [
    `interfaces that no known pod leads to let nothing through (${waits.interfaces}, see "claimed"): redirect.interfaces claims them, redirect.otherBridges lets others be`,
  ];
}

function loadProblems({ inspection, object, netns }: ReportInput): string[] {
  const problems: string[] = [];
  if (inspection.generation === 0) problems.push('no tables are in force: everything is refused');
  if (inspection.otherLayouts.length > 0) {
    const names = inspection.otherLayouts.join(', ');
    problems.push(`pins of another version are left (${names}): redirect up takes them away`);
  }
  if (object !== null && inspection.object !== object) {
    problems.push('the programs are from another build than this one: redirect up replaces them');
  }
  const lookup = inspection.links.find(({ kind, target }) => kind === 'netns' && target === netns);
  const program = inspection.programs.find(({ name }) => name === 'proxy_lookup');
  if (lookup === undefined) {
    problems.push('proxy_lookup is not attached to this network namespace: no listener is found');
  } else if (lookup.programId !== program?.id) {
    problems.push('proxy_lookup was replaced by another program in this network namespace');
  }
  return problems;
}

function interfaceRows({ inspection, wanted, links }: ReportInput): InterfaceRow[] {
  const nameByIndex = new Map([...links.interfaces].map(([name, ifindex]) => [ifindex, name]));
  const attached = new Set(attachedInterfaces(inspection));
  const rows: InterfaceRow[] = [];
  const nameOf = (ifindex: number): string => nameByIndex.get(ifindex) ?? '?';
  const owners = new Map(wanted?.plan.input.endpoints.map((one) => [one.interface, one]));
  for (const [ifindex, endpoint] of wanted?.plan.attached ?? []) {
    const name = nameByIndex.get(ifindex) ?? String(ifindex);
    const owner = owners.get(name);
    const of = endpoint === null ? 'uplink' : (owner?.name ?? '?');
    rows.push({ name, ifindex, of, state: attached.has(ifindex) ? 'attached' : 'not attached' });
  }
  for (const name of wanted?.plan.missingInterfaces ?? []) {
    const owner = owners.get(name);
    rows.push({ name, ifindex: null, of: owner?.name ?? 'uplink', state: 'not there' });
  }
  for (const name of wanted?.plan.unreadableInterfaces ?? []) {
    const ifindex = links.interfaces.get(name) ?? null;
    const owner = owners.get(name);
    rows.push({ name, ifindex, of: owner?.name ?? 'uplink', state: 'unreadable' });
  }
  const claimed = new Set(wanted?.plan.claimed ?? []);
  for (const ifindex of claimed) {
    const state = attached.has(ifindex) ? 'claimed' : 'not attached';
    rows.push({ name: nameOf(ifindex), ifindex, of: NOBODY, state });
  }
  for (const ifindex of attached) {
    if (wanted === null || wanted.plan.attached.has(ifindex) || claimed.has(ifindex)) continue;
    rows.push({ name: nameOf(ifindex), ifindex, of: '', state: 'not ours' });
  }
  return rows;
}

/** Of an interface that is ours by redirect.interfaces, and that no endpoint names yet: it is shut. */
const NOBODY = 'nobody yet';

/** With both programs of ours on it, those that are pinned now. */
function attachedInterfaces({ links, programs }: Inspection): number[] {
  const idOf = (wanted: string) => programs.find(({ name }) => name === wanted)?.id;
  const has = (link: InspectedLink, hook: string, program: string): boolean =>
    link.kind === 'tcx' && link.name.includes(hook) && link.programId === idOf(program);
  const ingress = links.filter((link) => has(link, 'ingress', 'from_interface'));
  const egress = new Set(
    links.filter((link) => has(link, 'egress', 'to_endpoint')).map(({ target }) => target),
  );
  // A link whose interface has gone says 0.
  return ingress.map(({ target }) => target).filter((target) => target > 0 && egress.has(target));
}

function interfaceProblem({ name, of, state }: InterfaceRow): string[] {
  switch (state) {
    case 'attached':
    case 'claimed':
      return [];
    case 'unreadable':
      return [`interface ${name} of ${of} ${UNREADABLE}`];
    case 'not attached':
      return [`interface ${name} of ${of} does not have our programs: its packets are not judged`];
    case 'not there':
      return [`interface ${name} of ${of} is not there`];
    case 'not ours':
      return [`interface ${name} has our programs, but no file names it: everything is refused`];
  }
}

function listenerProblems({ listeners }: Inspection, isNeeded: boolean): string[] {
  if (!isNeeded || listeners.ip4 + listeners.ip6 > 0) return [];
  return ['no proxy listens (sallyport run): connections with L7 rules are refused'];
}

/** Does the kernel hold what the files say? */
function tableProblems({ inspection, wanted, rejected, isFollowed }: ReportInput): string[] {
  if (wanted === null) {
    return rejected.map((problem) => `the files are rejected, others are in force: ${problem}`);
  }
  const { plan } = wanted;
  const { generation } = inspection;
  if (generation === 0) return [];
  const differing = [...differences(plan, inspection.inForce, generation)].map(
    ([map, count]) => `${map} (${count})`,
  );
  const wantedFlags = settingsOf(plan, generation).readUInt32LE(4);
  if (((wantedFlags ^ inspection.flags) & SETTINGS_OF_FILES) !== 0) differing.push('settings');
  if (differing.length === 0) return [];
  const then = isFollowed
    ? 'the loader that follows should take them over soon'
    : 'redirect up takes them over';
  return [`what is in force differs from the files in ${differing.join(', ')}: ${then}`];
}

function refusalRows({ inspection, names, nowNs }: ReportInput): RefusalRow[] {
  return inspection.refusals.map((refusal) => ({
    secondsAgo: Math.max(0, Number((nowNs - refusal.timeNs) / 1_000_000n) / 1000),
    count: Number(refusal.count),
    reason: refusal.reason,
    from: names.side(refusal.source, refusal.sourceIdentity),
    to: names.side(refusal.destination, refusal.destinationIdentity),
    protocol: refusal.protocol,
    port: refusal.destinationPort,
  }));
}
