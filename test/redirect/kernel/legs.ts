/** Packets between the endpoints of `world.ts`, and the keys that they have in the maps. */
import { encodeTuple, IP_PROTOCOLS } from '../../../src/redirect/layout.ts';
import { frame, tcp, udp } from './packets.ts';
import { A, B } from './world.ts';

const { TCP, UDP } = IP_PROTOCOLS;

let port = 20_000;

export interface Leg {
  readonly from: string;
  readonly to: string;
}
export const AB: Leg = { from: A.ip4, to: B.ip4 };
export const BA: Leg = { from: B.ip4, to: A.ip4 };
export const AB6: Leg = { from: A.ip6, to: B.ip6 };

export function segment(leg: Leg, from: number, to: number, flags: number, data = ''): Buffer {
  return frame({ ...leg, protocol: TCP, payload: tcp({ from, to, flags, data }) });
}

export const datagram = (leg: Leg, from: number, to: number): Buffer =>
  frame({ ...leg, protocol: UDP, payload: udp(from, to) });

/** A port that no test has used. */
export const fresh = (): number => port++;

export function key(leg: Leg, from: number, to: number, protocol: number = TCP): Buffer {
  const side = (ip: string, number: number): never =>
    ({ ip, family: ip.includes(':') ? 6 : 4, port: number }) as never;
  return encodeTuple(side(leg.from, from), side(leg.to, to), protocol);
}
