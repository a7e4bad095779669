/**
 * hot path
 *
 * How sockets are read: the kernel's bytes land in one buffer that all sockets share, and are copied from
 * there into memory of just their size before anybody sees them. Left to itself, Node takes 64 KiB
 * for each read and gives most of it back, which costs more than the copy (bench/reads.ts).
 *
 *     kernel ──read──► landing (64 KiB, for all) ──copy──► slab: │chunk│chunk│chunk│  free  │
 *                                                 └─ more than a quarter of a slab: a buffer of its own
 *
 * A slab is never written twice, so a chunk stays as it is for whoever keeps it. Who keeps a few bytes keeps
 * their slab: so slabs are small, and what stays for long is kept as `unshared`.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';

/** What libuv asks for by itself. */
const LANDING_BYTES = 64 * 1024;
const SLAB_BYTES = 16 * 1024;
const SLICE_BYTES_MAX = SLAB_BYTES / 4;

/** Overwritten by the next read of any socket: never handed on. */
const landing = Buffer.allocUnsafeSlow(LANDING_BYTES);
let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
let slabUsed = 0;

export type OnRead = (chunk: Buffer) => void;

/** For the constructor of a socket: `onRead` gets what comes in place of 'data' events. It must not throw. */
export function sharedReads(onRead: OnRead): OnReadOpts {
  return {
    buffer: landing,
    callback: (byteLength) => {
      onRead(landed(byteLength));
      return true;
    },
  };
}

/**
 * A socket that a server with `pauseOnConnect` has accepted, from now on read as `sharedReads` says. The one
 * that is returned takes the connection over; `accepted` is over without a trace.
 *
 * Servers have no option for it: that a socket can be made of another's handle is what Node's own server does,
 * and its documentation does not say. Where the handle is not to be had, 'data' events do the same, slower.
 */
export function takeOver(
  accepted: Socket,
  options: { readonly onRead: OnRead; readonly bufferBytesMax: number },
): Socket {
  const { onRead, bufferBytesMax } = options;
  const holder = accepted as { _handle?: unknown };
  const handle = holder._handle;
  if (handle === undefined || handle === null) return accepted.on('data', onRead).resume();
  holder._handle = null;
  accepted.destroy();
  const own: SocketConstructorOpts & { readonly highWaterMark: number } = {
    handle: handle as NonNullable<SocketConstructorOpts['handle']>,
    allowHalfOpen: true,
    highWaterMark: bufferBytesMax,
    onread: sharedReads(onRead),
  };
  return new Socket(own);
}

/** The same bytes for whoever keeps them for long: not in memory of which they are a small part. */
export function unshared(chunk: Buffer): Buffer {
  if (chunk.length >= chunk.buffer.byteLength / 4) return chunk;
  const own = Buffer.allocUnsafeSlow(chunk.length);
  chunk.copy(own);
  return own;
}

function landed(byteLength: number): Buffer {
  if (byteLength > SLICE_BYTES_MAX)
    return copied(Buffer.allocUnsafeSlow(byteLength), 0, byteLength);
  if (slabUsed + byteLength > SLAB_BYTES) {
    slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    slabUsed = 0;
  }
  const from = slabUsed;
  slabUsed += byteLength;
  return copied(slab, from, byteLength).subarray(from, slabUsed);
}

function copied(into: Buffer, from: number, byteLength: number): Buffer {
  landing.copy(into, from, 0, byteLength);
  return into;
}
