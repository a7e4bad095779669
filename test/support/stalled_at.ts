/** Writing until nobody takes more. */
import type { Socket } from 'node:net';

interface Side {
  readonly socket: Socket;
}

/** How many bytes are taken before nothing moves for a while. */
export async function stalledAt(
  side: Side,
  bytes: number,
  block: Buffer = Buffer.alloc(64 * 1024, 'x'),
): Promise<number> {
  let sent = 0;
  while (sent < bytes) {
    const isDrained = side.socket.write(block) || (await drains(side));
    sent += block.length;
    if (!isDrained) return sent;
  }
  return sent;
}

/** False once nothing was taken during several looks in a row, each after the loop has had its turn. */
async function drains(side: Side): Promise<boolean> {
  for (let quiet = 0; quiet < 5; quiet++) {
    const before = side.socket.bytesWritten - side.socket.writableLength;
    await new Promise((resolve) => setTimeout(resolve, 60));
    await new Promise((resolve) => setImmediate(resolve));
    if (!side.socket.writableNeedDrain) return true;
    if (side.socket.bytesWritten - side.socket.writableLength > before) quiet = 0;
  }
  return false;
}
