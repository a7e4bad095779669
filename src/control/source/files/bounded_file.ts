/**
 * A whole file, by one descriptor: what is asked of it (is it a regular file, how large) is asked of the very file that
 * is read. Between a look at a path and its opening another user of the folder could put a pipe that nobody writes
 * there, which would hold the process for ever, or a file without end.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

export interface BoundedReadOptions {
  readonly bytesMax: number;
  /** Tools may wait for a pipe (`-p <(...)`); what runs and reads again may not. */
  readonly isPipeAllowed: boolean;
}

export type BoundedRead =
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'not-regular' }
  | { readonly kind: 'too-large' };

const PART_BYTES = 64 * 1024;

/** Throws the system's error when it cannot be opened or read. */
export function readBounded(path: string, options: BoundedReadOptions): BoundedRead {
  const { bytesMax, isPipeAllowed } = options;
  // Opening a pipe would wait for its writer; of a regular file O_NONBLOCK says nothing.
  const flags = constants.O_RDONLY | (isPipeAllowed ? 0 : constants.O_NONBLOCK);
  const descriptor = openSync(path, flags);
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile() && !isPipeAllowed) return { kind: 'not-regular' };
    if (stats.size > bytesMax) return { kind: 'too-large' };
    return readAll(descriptor, { bytesMax, sizeHint: stats.size });
  } finally {
    closeSync(descriptor);
  }
}

function readAll(
  descriptor: number,
  { bytesMax, sizeHint }: { readonly bytesMax: number; readonly sizeHint: number },
): BoundedRead {
  const parts: Buffer[] = [];
  let length = 0;
  for (;;) {
    const part = Buffer.allocUnsafe(Math.max(PART_BYTES, sizeHint - length + 1));
    const count = readSync(descriptor, part);
    if (count === 0) return { kind: 'bytes', bytes: Buffer.concat(parts, length) };
    length += count;
    if (length > bytesMax) return { kind: 'too-large' };
    parts.push(part.subarray(0, count));
  }
}
