/**
 * A lock on a file that one process has at a time, and that the kernel takes back however its owner ends. It is of the
 * file, so it holds between containers that share a folder and no network namespace. Children do not inherit it.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';

export type FileLock =
  | { readonly kind: 'held'; readonly release: () => void }
  | { readonly kind: 'taken' }
  /** It cannot be told whether somebody has it. */
  | { readonly kind: 'error'; readonly message: string };

/** sys/file.h */
const LOCK_EX = 2;
const LOCK_NB = 4;
const OWNER_ONLY = 0o600;
const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;

/** Makes the file when it is not there. */
export async function lockFile(path: string): Promise<FileLock> {
  let fd: number | null = null;
  try {
    const { default: koffi } = await import('koffi');
    const flock = koffi.load('libc.so.6').func('int flock(int fd, int operation)');
    fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, OWNER_ONLY);
    const held = fd;
    if (flock(fd, LOCK_EX | LOCK_NB) === 0) return { kind: 'held', release: () => closeSync(held) };
    const errno = koffi.errno();
    closeSync(fd);
    const name = getSystemErrorName(-errno);
    return name === 'EAGAIN' ? { kind: 'taken' } : { kind: 'error', message: `flock: ${name}` };
  } catch (error) {
    return { kind: 'error', message: error instanceof Error ? error.message : String(error) };
  }
}
