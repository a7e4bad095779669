/** An error of the kernel or of libbpf: what was tried, what the kernel said, and what to do where we know. */
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';

export class KernelError extends Error {
  override readonly name = 'KernelError';
  /** As in errno(3), positive. */
  readonly errno: number;
  /** 'ENOENT' and the like. */
  readonly code: string;

  constructor(operation: string, errno: number, hint = '') {
    const code = nameOf(errno);
    super(`${operation}: ${code} (${messageOf(errno)})${hint === '' ? '' : `: ${hint}`}`);
    this.errno = errno;
    this.code = code;
  }
}

export const EPERM = 1;
export const ENOENT = 2;
export const EEXIST = 17;
export const EINVAL = 22;
export const ENOSPC = 28;
export const ENOLINK = 67;
/** Of the kernel only, and of no libc. */
export const ENOTSUPP = 524;

function nameOf(errno: number): string {
  if (errno === ENOTSUPP) return 'ENOTSUPP';
  // Throws for numbers that it does not know.
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

function messageOf(errno: number): string {
  if (errno === ENOTSUPP) return 'the kernel knows no such operation here';
  try {
    return getSystemErrorMessage(-errno) ?? 'unknown error';
  } catch {
    return 'unknown error';
  }
}
