/** What the operating system says of this process, under the names that Prometheus clients share. */
import { readdir } from 'node:fs/promises';
import { familyOf, type MetricFamily } from './family.ts';

/** `worker`: the label that tells this process from the others of the same Sallyport. */
export async function processFamilies(worker: string): Promise<readonly MetricFamily[]> {
  const { user, system } = process.cpuUsage();
  const openFds = await countOpenFds();
  const residentBytes = countResidentBytes();
  const startedAtMs = performance.timeOrigin;
  return [
    ...(residentBytes === null
      ? []
      : [familyOf('process_resident_memory_bytes', residentBytes, { worker })]),
    familyOf('process_cpu_seconds_total', (user + system) / 1e6, { worker }),
    ...(openFds === null ? [] : [familyOf('process_open_fds', openFds, { worker })]),
    familyOf('process_start_time_seconds', Math.round(startedAtMs) / 1000, { worker }),
  ];
}

/** Null when no file descriptor is left to ask with: metrics without it are better than none. */
function countResidentBytes(): number | null {
  try {
    return process.memoryUsage.rss();
  } catch {
    return null;
  }
}

/** Null where there is no /proc, and when no file descriptor is left. */
async function countOpenFds(): Promise<number | null> {
  try {
    const entries = await readdir('/proc/self/fd');
    // One of them is the directory that was read.
    return entries.length - 1;
  } catch {
    return null;
  }
}
