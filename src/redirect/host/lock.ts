/**
 * One loader at a time: two that write generations would write into each other's. The lock is a socket
 * in the abstract namespace, so the kernel takes it back however its owner ends.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

export type LockResult =
  | { readonly kind: 'held'; readonly release: () => Promise<void> }
  | { readonly kind: 'taken' }
  | { readonly kind: 'error'; readonly message: string };

export function takeLock(root: string): Promise<LockResult> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve({ kind: 'taken' });
      else resolve({ kind: 'error', message: `no lock: ${error.message}` });
    });
    server.listen(`\0${nameOf(root)}`, () => {
      server.unref();
      resolve({
        kind: 'held',
        release: () => new Promise((done) => server.close(() => done())),
      });
    });
  });
}

/** True when somebody holds it, in this network namespace. */
export function isLocked(root: string): boolean {
  try {
    return readFileSync('/proc/net/unix', 'utf8').includes(`@${nameOf(root)}`);
  } catch {
    return false;
  }
}

function nameOf(root: string): string {
  return `sallyport-redirect-${createHash('sha256').update(root).digest('hex').slice(0, 32)}`;
}
