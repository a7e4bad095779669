/** Datagrams to and from the kernel, several a call. An errno is told as a negative number, and nothing throws. */
import koffi from 'koffi';
import type { MessageBatch } from './message_batch.ts';

const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const EAGAIN = 11;

// Addresses go as numbers: with a Buffer or a bigint a call costs half as much again (docs/performance.md).
const libc = koffi.load('libc.so.6');
const receiveCall = libc.func(
  'int recvmmsg(int fd, intptr_t messages, int count, int flags, intptr_t timeout)',
);
const sendCall = libc.func('int sendmmsg(int fd, intptr_t messages, int count, int flags)');
const sendOneCall = libc.func('int send(int fd, intptr_t bytes, int length, int flags)');

/** More than UDP takes, so that the kernel refuses what is too long, and not a part of it goes. */
const sentBytes = Buffer.allocUnsafeSlow(65_536);
const sentAt = Number(koffi.address(sentBytes));

/** How many came: none where the socket is another by now than the one that there was word of (native_links.ts). */
export function receiveInto(fd: number, batch: MessageBatch): number {
  const count = receiveCall(fd, batch.address, batch.size, MSG_DONTWAIT, 0) as number;
  if (count >= 0) return count;
  const errno = koffi.errno();
  return errno === EAGAIN ? 0 : -errno;
}

/** How many of those from `first` on were taken. */
export function sendFrom(fd: number, batch: MessageBatch, first: number, count: number): number {
  const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  const taken = sendCall(fd, batch.addressAt(first), count, flags) as number;
  return taken < 0 ? -koffi.errno() : taken;
}

/** To whom the socket is connected. 0, or the errno. */
export function sendConnected(fd: number, bytes: Buffer): number {
  const length = bytes.copy(sentBytes);
  const sent = sendOneCall(fd, sentAt, length, MSG_DONTWAIT | MSG_NOSIGNAL) as number;
  return sent < 0 ? -koffi.errno() : 0;
}
