/** The socket file of the admin server: a stale one is taken away, one in use is not. */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';

export const SOCKET_IN_USE = 'the socket is in use by another program';

/** Null when the path is free (a socket that nobody answers on was removed), else why it is not. */
export async function freeSocketPath(path: string): Promise<string | null> {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return null;
  if (!stats.isSocket()) return 'the file exists and is not a socket';
  if (await isAnswered(path)) return SOCKET_IN_USE;
  unlinkSync(path);
  return null;
}

/** What a failed bind means to the person who has to mend it. */
export function socketErrorText(code: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return SOCKET_IN_USE;
    // Listening at a place in a folder that is not there is EACCES, too.
    case 'EACCES':
    case 'ENOENT':
      return 'there is no such folder, or no permission to write to it';
    case 'EROFS':
      return 'the file system is read-only';
    case 'EINVAL':
    case 'ENAMETOOLONG':
      return 'the path is too long for a socket';
    default:
      return `cannot be bound (${code})`;
  }
}

/** Whoever may open the file may drain the proxy: the owner only. */
export function protectSocket(path: string): void {
  chmodSync(path, 0o600);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // EACCES and the like: somebody's; only a refused connection says that nobody listens.
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}
