/**
 * A process that ends with the one that started it, whatever it is doing: the kernel sends the signal. The end of a
 * channel between the two is only seen by a process that still reads it; one in an endless loop would go on for ever,
 * with its listeners and the policy of that moment.
 */

/** linux/prctl.h */
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/**
 * Resolves when it is so: null, or why it cannot be. A parent that has ended before is not told of: look at
 * `process.ppid` afterwards.
 */
export async function endWithParent(): Promise<string | null> {
  try {
    const { default: koffi } = await import('koffi');
    const prctl = koffi
      .load('libc.so.6')
      .func(
        'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
      );
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) === 0) return null;
    return `prctl: errno ${koffi.errno()}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
