/** ICMP echoes from inside a namespace, by the kernel's own sockets for them. */
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';
import { insideOf } from '../kernel/lab.ts';
import { bytesOf, icmp } from '../kernel/packets.ts';
import type { Netns } from './netns.ts';

const [AF_INET, AF_INET6, SOCK_DGRAM, SOCK_NONBLOCK] = [2, 10, 2, 0o4000];
const [ICMP, ICMP6] = [1, 58];
/** After this the question is sent again. */
const RESEND_MS = 300;
const PATIENCE_MS = 60_000;

const libc = koffi.load(null);
const openSocket = libc.func('int socket(int family, int type, int protocol)');
const sendTo = libc.func(
  'long sendto(int fd, const uint8_t *data, size_t size, int flags, const uint8_t *to, uint32_t length)',
);
const receive = libc.func('long recv(int fd, _Out_ uint8_t *data, size_t size, int flags)');

/** A question, and whether it is answered. What is expected to be silent is asked once: `ONE_DATAGRAM`. */
export async function echo(
  from: Netns,
  to: string,
  { patienceMs = PATIENCE_MS }: { readonly patienceMs?: number } = {},
): Promise<'open' | 'silent'> {
  from.run(['sysctl', '-q', '-w', 'net.ipv4.ping_group_range=0 2147483647']);
  const isIp6 = to.includes(':');
  const fd = insideOf(from.path, () =>
    openSocket(isIp6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, isIp6 ? ICMP6 : ICMP),
  ) as number;
  if (fd < 0) throw new Error(`socket: errno ${koffi.errno()}`);
  try {
    const question = icmp(isIp6 ? 128 : 8, 0, 0, Buffer.from('are you there?'));
    const address = Buffer.alloc(isIp6 ? 28 : 16);
    address.writeUInt16LE(isIp6 ? AF_INET6 : AF_INET);
    address.set(bytesOf(to), isIp6 ? 8 : 4);
    for (let restMs = patienceMs; restMs > 0; restMs -= RESEND_MS) {
      sendTo(fd, question, question.length, 0, address, address.length);
      if (await isAnswered(fd, isIp6 ? 129 : 0)) return 'open';
    }
    return 'silent';
  } finally {
    closeSync(fd);
  }
}

async function isAnswered(fd: number, type: number): Promise<boolean> {
  const answer = Buffer.alloc(256);
  for (const lastMs = performance.now() + RESEND_MS; performance.now() < lastMs; await sleep(5)) {
    if (Number(receive(fd, answer, answer.length, 0)) > 0 && answer[0] === type) return true;
  }
  return false;
}
