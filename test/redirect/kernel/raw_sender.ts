/** One packet socket for many frames: what a pod with CAP_NET_RAW can send. */
import { closeSync } from 'node:fs';
import koffi from 'koffi';
import type { Netns } from '../root/netns.ts';
import { insideOf } from './lab.ts';

const [AF_PACKET, SOCK_RAW] = [17, 3];

const libc = koffi.load(null);
const openSocket = libc.func('int socket(int family, int type, int protocol)');
const sendTo = libc.func(
  'long sendto(int fd, const uint8_t *data, size_t size, int flags, const uint8_t *to, uint32_t length)',
);

export class RawSender {
  readonly #fd: number;
  readonly #ifindex: number;
  readonly #destination: Buffer;

  /** Out of `name` of one namespace, to the interface at its other end. */
  constructor(from: Netns, name: string, peer: { readonly netns: Netns; readonly name: string }) {
    this.#ifindex = linkOf(from, name).ifindex;
    const { address } = linkOf(peer.netns, peer.name);
    this.#destination = Buffer.from(address.replaceAll(':', ''), 'hex');
    this.#fd = insideOf(from.path, () => openSocket(AF_PACKET, SOCK_RAW, 0) as number);
  }

  /** To the other end's link address. */
  send(frame: Buffer): void {
    this.#destination.copy(frame, 0);
    const address = Buffer.alloc(20);
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeUInt16BE(frame.readUInt16BE(12), 2);
    address.writeInt32LE(this.#ifindex, 4);
    sendTo(this.#fd, frame, frame.length, 0, address, address.length);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function linkOf(
  netns: Netns,
  name: string,
): { readonly ifindex: number; readonly address: string } {
  return JSON.parse(netns.run(['ip', '-j', 'link', 'show', name]))[0];
}
