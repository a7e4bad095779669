/** What makes figures less worth: rounds far apart, failures, and others who used the same cores. */
import type { Row } from '../report/report.ts';
import { isNumber, medianOf } from '../report/summary.ts';
import { busySeconds, treeSeconds } from './cpu.ts';
import { PINNING, parseCoreList } from './pinning.ts';

/** Of a subject's rounds: (max - min) / median of the CPU a request. */
const SPREAD_MAX = 0.15;
/** Of one core: what others may use meanwhile. */
const FOREIGN_SHARE_MAX = 0.1;

export interface MachineUse {
  readonly atMs: number;
  readonly busySeconds: number;
  /** Of the harness and of everything that it started. */
  readonly ownSeconds: number;
}

/** In one round: the part of one core that went to programs that are not ours. */
export interface ForeignUse {
  readonly subject: string;
  readonly share: number;
}

export function scenarioWarnings(
  rows: readonly Row[],
  foreign: readonly ForeignUse[] = [],
): readonly string[] {
  return [
    ...rows.flatMap((row) => [...spreadWarnings(row), ...failureWarnings(row)]),
    ...foreignWarnings(foreign),
  ];
}

export function readMachineUse(): MachineUse {
  return {
    atMs: performance.now(),
    busySeconds: busySeconds(CORES),
    ownSeconds: treeSeconds(process.pid),
  };
}

export function foreignShare(before: MachineUse, after: MachineUse): number {
  const seconds = (after.atMs - before.atMs) / 1000;
  const busy = after.busySeconds - before.busySeconds;
  const own = after.ownSeconds - before.ownSeconds;
  return (busy - own) / seconds;
}

const CORES = PINNING === null ? null : parseCoreList(`${PINNING.measured},${PINNING.other}`);

function spreadWarnings({ subject, samples }: Row): readonly string[] {
  const values = samples.map(({ cpuMicros }) => cpuMicros).filter(isNumber);
  if (values.length < 2) return [];
  const spread = (Math.max(...values) - Math.min(...values)) / medianOf(values);
  if (!(spread > SPREAD_MAX)) return [];
  return [`${subject}: its rounds are ${(spread * 100).toFixed(0)} % apart in CPU a request`];
}

function failureWarnings({ subject, samples }: Row): readonly string[] {
  const failures = samples.reduce((sum, sample) => sum + (sample.failures ?? 0), 0);
  return failures > 0 ? [`${subject}: ${failures} requests failed`] : [];
}

function foreignWarnings(foreign: readonly ForeignUse[]): readonly string[] {
  const noisy = foreign.filter(({ share }) => share > FOREIGN_SHARE_MAX);
  if (noisy.length === 0) return [];
  const most = Math.max(...noisy.map(({ share }) => share));
  const names = [...new Set(noisy.map(({ subject }) => subject))].join(', ');
  return [
    `in ${noisy.length} of ${foreign.length} rounds other programs used up to ` +
      `${(most * 100).toFixed(0)} % of a core (while measuring: ${names})`,
  ];
}
