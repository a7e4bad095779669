/**
 * Batches of Services as bytes, as `identity_wire.ts` has batches of identities. Ports of one Service share the list of
 * its backends, on the way as well.
 */
import { deserialize, serialize } from 'node:v8';
import type { IpText, SocketAddress } from '../../model/address.ts';
import type { Port } from '../../model/identity.ts';
import type { JudgedFrontend } from '../../model/service_frontend.ts';
import { BrokenTableError } from '../../policy/identity/delta.ts';
import type { FrontendAddress, ServiceBatch } from '../../policy/identity/service_table.ts';

/** A batch that is on its way: who passes it on needs its number only. */
export interface SentServices {
  readonly sequence: number;
  readonly isWhole: boolean;
  readonly bytes: Uint8Array;
}

type SentAddress = readonly [
  protocol: FrontendAddress['protocol'],
  family: 4 | 6,
  ip: IpText | null,
  port: Port,
];

type SentFrontend = readonly [
  ...SentAddress,
  service: string,
  kind: JudgedFrontend['kind'],
  /** Number of the list. */
  backends: number,
];

interface Sent {
  readonly gone: readonly SentAddress[];
  readonly come: readonly SentFrontend[];
  /** Address and port by turns. */
  readonly backends: readonly (readonly (IpText | Port)[])[];
}

export function encodeServices({ sequence, isWhole, gone, come }: ServiceBatch): SentServices {
  const numbers = new Map<readonly SocketAddress[], number>();
  const sent: Sent = {
    gone: gone.map(sentAddress),
    come: come.map((one): SentFrontend => {
      const number = numbers.get(one.backends) ?? numbers.size;
      numbers.set(one.backends, number);
      return [...sentAddress(one), one.service, one.kind, number];
    }),
    backends: Array.from(numbers.keys(), (list) => list.flatMap(({ ip, port }) => [ip, port])),
  };
  return { sequence, isWhole, bytes: serialize(sent) };
}

/** Throws a BrokenTableError for bytes that `encodeServices` did not make. */
export function decodeServices({ sequence, isWhole, bytes }: SentServices): ServiceBatch {
  try {
    const sent = deserialize(bytes) as Sent;
    const lists = sent.backends.map(backendsOf);
    return {
      sequence,
      isWhole,
      gone: sent.gone.map(addressOf),
      come: sent.come.map((one) => frontendOf(one, lists)),
    };
  } catch (error) {
    throw new BrokenTableError(`batch ${sequence} of Services cannot be read`, { cause: error });
  }
}

function sentAddress({ protocol, family, ip, port }: FrontendAddress): SentAddress {
  return [protocol, family, ip, port];
}

function addressOf([protocol, family, ip, port]: SentAddress): FrontendAddress {
  return { protocol, family, ip, port };
}

function frontendOf(
  [protocol, family, ip, port, service, kind, number]: SentFrontend,
  lists: readonly (readonly SocketAddress[])[],
): JudgedFrontend {
  const backends = lists[number];
  // One without its list would be a Service without backends.
  if (backends === undefined) throw new Error('a frontend without its backends');
  return { service, kind, protocol, family, ip, port, backends };
}

function backendsOf(list: readonly (IpText | Port)[]): readonly SocketAddress[] {
  const backends: SocketAddress[] = [];
  for (let at = 0; at + 1 < list.length; at += 2) {
    const ip = list[at] as IpText;
    backends.push({ ip, family: ip.includes(':') ? 6 : 4, port: list[at + 1] as Port });
  }
  return backends;
}
