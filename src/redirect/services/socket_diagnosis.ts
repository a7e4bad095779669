/**
 * UDP sockets that are connected, of the network namespace in which this is made, and one of them closed (sock_diag(7)).
 * The kernel tells and takes a cookie for each socket, so nobody else's is closed by mistake.
 */
import { KernelError } from '../kernel/kernel_error.ts';
import {
  HEADER_BYTES,
  NETLINK_SOCK_DIAG,
  Netlink,
  NLM_F_ACK,
  NLM_F_DUMP,
  netlinkMessage,
} from '../kernel/netlink.ts';

export interface ConnectedSocket {
  /** AF_INET, AF_INET6. */
  readonly family: number;
  /** struct inet_diag_sockid: addresses, ports, interface, cookie. */
  readonly id: Buffer;
  readonly cookie: bigint;
}

/** linux/netlink.h, sock_diag.h, inet_diag.h */
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const FAMILIES = [2, 10];
const IPPROTO_UDP = 17;
/** 1 << TCP_ESTABLISHED: of what is connected, UDP as well. */
const CONNECTED = 1 << 1;
const ID_BYTES = 48;
const COOKIE_AT = 40;
const REQUEST_BYTES = 8 + ID_BYTES;
const ANSWER_BYTES = 4 + ID_BYTES + 20;
/** Of the sockets that one namespace may have, far more. */
const PARTS_MAX = 65_536;

export class SocketDiagnosis {
  readonly #netlink = new Netlink(NETLINK_SOCK_DIAG);
  #sequence = 0;

  /** Throws a KernelError. */
  connectedUdp(): readonly ConnectedSocket[] {
    return FAMILIES.flatMap((family) => {
      this.#send(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, request(family, CONNECTED));
      const found: ConnectedSocket[] = [];
      for (let part = 0; part < PARTS_MAX; part++) {
        const bytes = this.#netlink.receive();
        if (bytes === null) break;
        const { sockets, errno } = parseSockets(bytes);
        found.push(...sockets);
        if (errno === null) continue;
        if (errno !== 0) throw new KernelError('sock_diag', errno);
        break;
      }
      return found;
    });
  }

  /** False: it is not what it was any more. Throws a KernelError. */
  close({ family, id }: ConnectedSocket): boolean {
    const body = request(family, CONNECTED);
    body.set(id, REQUEST_BYTES - ID_BYTES);
    this.#send(SOCK_DESTROY, NLM_F_ACK, body);
    const bytes = this.#netlink.receive();
    const errno = bytes === null ? 0 : parseSockets(bytes).errno;
    if (errno === ENOENT) return false;
    if (errno !== 0 && errno !== null) throw new KernelError('SOCK_DESTROY', errno, DESTROY_HINT);
    return true;
  }

  end(): void {
    this.#netlink.close();
  }

  #send(type: number, flags: number, body: Buffer): void {
    this.#sequence += 1;
    this.#netlink.send(netlinkMessage({ type, flags, sequence: this.#sequence }, body));
  }
}

const ENOENT = 2;
const DESTROY_HINT = 'CONFIG_INET_DIAG_DESTROY, CAP_NET_ADMIN';

/** struct inet_diag_req_v2 */
function request(family: number, states: number): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES);
  bytes[0] = family;
  bytes[1] = IPPROTO_UDP;
  bytes.writeUInt32LE(states, 4);
  return bytes;
}

/** Of one part of an answer. `errno`: null, there is more. */
export function parseSockets(bytes: Buffer): {
  readonly sockets: readonly ConnectedSocket[];
  readonly errno: number | null;
} {
  const sockets: ConnectedSocket[] = [];
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < HEADER_BYTES || at + length > bytes.length) break;
    const type = bytes.readUInt16LE(at + 4);
    const body = bytes.subarray(at + HEADER_BYTES, at + length);
    if (type === NLMSG_DONE || type === NLMSG_ERROR)
      return { sockets, errno: body.length < 4 ? 0 : -body.readInt32LE(0) };
    if (body.length >= ANSWER_BYTES) {
      // The next part is read into the same memory.
      const own = Buffer.from(body);
      const id = own.subarray(4, 4 + ID_BYTES);
      sockets.push({ family: own[0] ?? 0, id, cookie: id.readBigUInt64LE(COOKIE_AT) });
    }
    at += (length + 3) & ~3;
  }
  return { sockets, errno: null };
}
