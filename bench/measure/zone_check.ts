/** Before DNS is measured: a subject answers for a name of the zone, and refuses what is outside of it. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readQuery } from '../../src/codec/dns/query.ts';
import { DENIED_ZONE, DNS_ZONE, namesIn } from '../subjects/dns_zone.ts';
import type { Subject } from '../subjects/subject.ts';

const TIMEOUT_MS = 10_000;
const RCODE_MASK = 0x0f;
const REFUSED = 5;

export async function checkZone({ name, url, isOrigin = false }: Subject): Promise<void> {
  const rcodes = [[DNS_ZONE, 0] as const, ...(isOrigin ? [] : [[DENIED_ZONE, REFUSED] as const])];
  for (const [zone, wanted] of rcodes) {
    const [asked = zone] = namesIn(zone);
    const rcode = await rcodeOf(url, asked);
    if (rcode === wanted) continue;
    throw new Error(`${name} enforces another policy: ${asked} gave ${rcode}, not ${wanted}`);
  }
}

async function rcodeOf(url: string, name: string): Promise<number> {
  const { hostname, port } = new URL(url);
  const socket = createSocket('udp4');
  try {
    const answered = once(socket, 'message', { signal: AbortSignal.timeout(TIMEOUT_MS) });
    socket.send(questionOf(name), Number(port), hostname);
    const [answer] = (await answered) as [Buffer];
    return answer.readUInt16BE(2) & RCODE_MASK;
  } finally {
    socket.close();
  }
}

/** For its address, with recursion. */
export function questionOf(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const header = Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const question = Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
  if (readQuery(question).kind !== 'query') throw new Error(`${name} is no name`);
  return question;
}
