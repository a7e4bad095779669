/** Writing until nobody takes more. */
import type { Socket } from 'node:net';

interface Side {
  readonly socket: Socket;
}

export interface StallOptions {
  readonly block?: Buffer;
  /** What else may still be moving: a number that changes when it does. */
  readonly progress?: () => number;
}

const LOOKS_MAX = 8;
const LOOK_INTERVAL_MS = 50;

/** How many bytes are taken, of so many, before nothing moves for a while. */
export async function stalledAt(
  side: Side,
  bytes: number,
  options: StallOptions = {},
): Promise<number> {
  const { block = Buffer.alloc(64 * 1024, 'x'), progress = () => 0 } = options;
  let sent = 0;
  while (sent < bytes) {
    const isDrained = side.socket.write(block) || (await drains(side, progress));
    sent += block.length;
    if (!isDrained) return sent;
  }
  return sent;
}

/** False once nothing moved during several looks in a row, each after the loop has had its turn. */
async function drains({ socket }: Side, progress: () => number): Promise<boolean> {
  let before = '';
  for (let quiet = 0; quiet < LOOKS_MAX; quiet++) {
    const now = `${socket.bytesWritten - socket.writableLength} ${progress()}`;
    if (now !== before) quiet = 0;
    before = now;
    if (await drainsWithin(socket, LOOK_INTERVAL_MS)) return true;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return false;
}

function drainsWithin(socket: Socket, waitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      socket.off('drain', finish);
      resolve(!socket.writableNeedDrain);
    };
    const timer = setTimeout(finish, waitMs);
    socket.once('drain', finish);
  });
}
