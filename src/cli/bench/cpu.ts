/** CPU time and memory of other processes, as Linux tells them. */
import { readFileSync } from 'node:fs';

export interface ProcessUse {
  readonly userUs: number;
  readonly kernelUs: number;
  readonly residentBytes: number;
}

/** USER_HZ, which is 100 on every architecture that Node runs on, and the unit of /proc/PID/stat. */
const TICK_US = 10_000;
const KIB = 1024;

/** Of all of `pids` together; null where it cannot be told. */
export function processUse(pids: readonly number[]): ProcessUse | null {
  if (process.platform !== 'linux') return null;
  const sum = { userUs: 0, kernelUs: 0, residentBytes: 0 };
  for (const pid of pids) {
    const use = useOf(pid);
    if (use === null) return null;
    sum.userUs += use.userUs;
    sum.kernelUs += use.kernelUs;
    sum.residentBytes += use.residentBytes;
  }
  return sum;
}

function useOf(pid: number): ProcessUse | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name before it may hold anything, ")" included: proc_pid_stat(5), from field 3 on.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const residentKib = /^VmRSS:\s*([0-9]+) kB$/m.exec(status)?.[1];
    return {
      userUs: Number(fields[11]) * TICK_US,
      kernelUs: Number(fields[12]) * TICK_US,
      residentBytes: Number(residentKib ?? 0) * KIB,
    };
  } catch {
    return null;
  }
}
