/** How much memory this process has, to be held against a bound. */
import { getHeapStatistics } from 'node:v8';

/**
 * Null: no file descriptor is left to ask with; then the process is at a bound, too. Where there is no /proc it is what
 * the heap and its buffers have: less than all of it, and most of what connections can make grow.
 */
export function residentBytes(): number | null {
  try {
    return process.memoryUsage.rss();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EMFILE' || code === 'ENFILE' ? null : heapBytes();
  }
}

function heapBytes(): number {
  const { total_physical_size: heap, external_memory: buffers } = getHeapStatistics();
  return heap + buffers;
}
