/**
 * The CPU time of processes and of cores, from /proc.
 *
 * The kernel counts what a task ran in nanoseconds (schedstat) and tells user from kernel time in ticks of
 * 10 ms (stat): the first gives the sum, the second its parts.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ: 100 on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;
/** How far ticks may be ahead of nanoseconds before we believe that threads have ended, with their nanoseconds. */
const TICK_SLACK = 3;

export interface CpuUse {
  readonly userSeconds: number;
  readonly systemSeconds: number;
}

export type CpuReading = ReadonlyMap<number, PidCpu>;

interface PidCpu {
  readonly userTicks: number;
  readonly systemTicks: number;
  /** Of its live threads; null: this kernel does not tell. */
  readonly nanos: number | null;
}

/** A process that has ended is left out. */
export function readCpu(pids: readonly number[]): CpuReading {
  const reading = new Map<number, PidCpu>();
  for (const pid of pids) {
    const ticks = processTicks(pid);
    if (ticks !== null) reading.set(pid, { ...ticks, nanos: threadNanos(pid) });
  }
  return reading;
}

/** Also of those that were born in between. */
export function cpuBetween(before: CpuReading, after: CpuReading): CpuUse {
  let userSeconds = 0;
  let systemSeconds = 0;
  for (const [pid, end] of after) {
    const use = useOf(before.get(pid) ?? NOTHING, end);
    userSeconds += use.userSeconds;
    systemSeconds += use.systemSeconds;
  }
  return { userSeconds, systemSeconds };
}

/** `pid` and everything that it has started, as it is now. */
export function processTree(pid: number): number[] {
  const tree = [pid];
  for (const child of childrenOf(pid)) tree.push(...processTree(child));
  return tree;
}

/** User and system time of a process tree, with those of its children that have ended, in seconds. */
export function treeSeconds(pid: number): number {
  let ticks = 0;
  for (const one of processTree(pid)) ticks += processTicks(one)?.allTicks ?? 0;
  return ticks / TICKS_PER_SECOND;
}

/** Time in which these cores did something, for anybody, in seconds; all cores: null. */
export function busySeconds(cores: readonly number[] | null): number {
  let ticks = 0;
  for (const line of readFileSync('/proc/stat', 'latin1').split('\n')) {
    const match = /^cpu([0-9]+) (.*)$/.exec(line);
    if (match === null || (cores !== null && !cores.includes(Number(match[1])))) continue;
    ticks += busyTicks(match[2] ?? '');
  }
  return ticks / TICKS_PER_SECOND;
}

const NOTHING: PidCpu = { userTicks: 0, systemTicks: 0, nanos: 0 };

function useOf(before: PidCpu, after: PidCpu): CpuUse {
  const userTicks = Math.max(0, after.userTicks - before.userTicks);
  const systemTicks = Math.max(0, after.systemTicks - before.systemTicks);
  const ticks = userTicks + systemTicks;
  const seconds = secondsOf(before, after, ticks);
  const userShare = ticks === 0 ? 1 : userTicks / ticks;
  return { userSeconds: seconds * userShare, systemSeconds: seconds * (1 - userShare) };
}

function secondsOf(before: PidCpu, after: PidCpu, ticks: number): number {
  const byTicks = ticks / TICKS_PER_SECOND;
  if (before.nanos === null || after.nanos === null) return byTicks;
  const byNanos = (after.nanos - before.nanos) / 1e9;
  return byNanos + TICK_SLACK / TICKS_PER_SECOND < byTicks ? byTicks : byNanos;
}

/** user, nice, system, idle, iowait, irq, softirq, steal (proc_stat(5)) */
function busyTicks(fields: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields.split(' ').map(Number);
  return user + nice + system + irq + softirq;
}

function processTicks(
  pid: number,
): { userTicks: number; systemTicks: number; allTicks: number } | null {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The name, in parentheses, may hold spaces; after it comes field 3 (proc_pid_stat(5)).
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const field = (number: number): number => fields[number - 3] ?? 0;
  const [userTicks, systemTicks] = [field(14), field(15)];
  return { userTicks, systemTicks, allTicks: userTicks + systemTicks + field(16) + field(17) };
}

function threadNanos(pid: number): number | null {
  let nanos = 0;
  for (const task of tasksOf(pid)) {
    const text = read(`/proc/${pid}/task/${task}/schedstat`);
    if (text === null) return null;
    nanos += Number(text.split(' ')[0]);
  }
  return nanos;
}

function childrenOf(pid: number): number[] {
  return tasksOf(pid).flatMap((task) =>
    (read(`/proc/${pid}/task/${task}/children`) ?? '')
      .split(' ')
      .map(Number)
      .filter((child) => child > 0),
  );
}

function tasksOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}
