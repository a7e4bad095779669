/** The node of the packet tests: endpoints A and B, an uplink, and what their policies say. */
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { sockmapUpdate } from '../../../src/redirect/kernel/pinned.ts';
import {
  type CounterName,
  IP_PROTOCOLS,
  LISTENER_SLOTS,
  MARK_MAGIC_MASK,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_REDIRECT,
} from '../../../src/redirect/layout.ts';
import { Netns } from '../root/netns.ts';
import { type Answer, Lab, type Rule, type Tables } from './lab.ts';

export const A = { endpoint: 11, identity: 0x1203e9, ip4: '10.9.1.1', ip6: 'fd09::1:1' };
export const B = { endpoint: 12, identity: 1002, ip4: '10.9.1.2', ip6: 'fd09::1:2' };
export const NODE = { ip4: '10.9.0.1', ip6: 'fd09::1', linkLocal: 'fe80::90:1' };
export const OUTSIDE = { ip4: '192.0.2.9', ip6: '2001:db8::9' };
export const PARTNER = { identity: 3000, ip4: '198.51.100.7', prefix4: '198.51.100.0/24' };

const { TCP, UDP, ICMP, ICMPv6, SCTP } = IP_PROTOCOLS;

/** Ports of TCP by what is said about them on either side. */
export const PORT = { redirected: 80, allowed: 81, noEgress: 82, noIngress: 83, late: 84 } as const;

const TO_B: NonNullable<Rule['remotes']> = { [B.identity]: VERDICT_ALLOW };

export const A_EGRESS: readonly Rule[] = [
  {
    protocol: TCP,
    port: PORT.redirected,
    verdict: VERDICT_DENY,
    remotes: { [B.identity]: VERDICT_REDIRECT, 2: VERDICT_REDIRECT },
  },
  {
    protocol: TCP,
    port: PORT.allowed,
    verdict: VERDICT_DENY,
    remotes: { ...TO_B, [PARTNER.identity]: VERDICT_ALLOW },
  },
  { protocol: TCP, port: PORT.noIngress, verdict: VERDICT_ALLOW },
  { protocol: TCP, port: PORT.late, verdict: VERDICT_ALLOW },
  { protocol: TCP, port: 8192, bits: 3, verdict: VERDICT_ALLOW, remotes: { 2: VERDICT_DENY } },
  { protocol: UDP, port: 53, verdict: VERDICT_ALLOW },
  { protocol: UDP, port: 80, verdict: VERDICT_REDIRECT },
  { protocol: SCTP, port: 36412, verdict: VERDICT_ALLOW },
  { protocol: ICMP, port: 8 << 8, verdict: VERDICT_ALLOW },
  { protocol: ICMPv6, port: 128 << 8, verdict: VERDICT_ALLOW },
];

export const B_INGRESS: readonly Rule[] = [
  { protocol: TCP, port: PORT.noIngress, verdict: VERDICT_DENY },
  { protocol: TCP, port: PORT.late, verdict: VERDICT_REDIRECT },
  { protocol: 0, verdict: VERDICT_ALLOW },
];

export class World {
  readonly lab: Lab;
  readonly pods: Netns;
  readonly a: number;
  readonly b: number;
  readonly uplink: number;
  readonly unknown: number;
  #servers: Server[] = [];

  constructor(label: string) {
    this.lab = new Lab(label);
    this.pods = new Netns(`spA-${label}-pods`);
    this.a = this.lab.addInterface('lxcA', this.pods, 'podA');
    this.b = this.lab.addInterface('lxcB', this.pods, 'podB');
    this.uplink = this.lab.addInterface('uplink', this.pods, 'out');
    this.unknown = this.lab.addInterface('unknown', this.pods, 'third');
  }

  tables(aEgress: readonly Rule[] = A_EGRESS, bIngress: readonly Rule[] = B_INGRESS): Tables {
    const all: Rule = { protocol: 0, verdict: VERDICT_ALLOW };
    const none: Rule = { protocol: 0, verdict: VERDICT_DENY };
    return {
      interfaces: new Map([
        [this.a, A.endpoint],
        [this.b, B.endpoint],
        [this.uplink, null],
      ]),
      addresses: [
        ['0.0.0.0/0', 2, 0],
        ['::/0', 2, 0],
        [PARTNER.prefix4, PARTNER.identity, 0],
        [NODE.ip4, 1, 0],
        [NODE.ip6, 1, 0],
        [NODE.linkLocal, 1, 0],
        [A.ip4, A.identity, A.endpoint],
        [A.ip6, A.identity, A.endpoint],
        [B.ip4, B.identity, B.endpoint],
        [B.ip6, B.identity, B.endpoint],
      ],
      endpoints: new Map([
        [A.endpoint, { identity: A.identity, egress: aEgress, ingress: [none] }],
        [B.endpoint, { identity: B.identity, egress: [none], ingress: bIngress }],
        // Unreached; the tables of two generations must not touch each other.
        [99, { identity: 99, egress: [all], ingress: [all] }],
      ]),
    };
  }

  /** A listener in every slot of its family, as a worker would have it. */
  async listen(family: 4 | 6): Promise<Server> {
    const server = createServer((socket) => socket.destroy());
    await this.lab.node.listen(server, {
      ip: family === 4 ? '127.0.0.1' : '::1',
      port: 15_000 + family,
    });
    const fd = (server as unknown as { _handle: { fd: number } })._handle.fd;
    for (let slot = 0; slot < LISTENER_SLOTS; slot++)
      sockmapUpdate(this.listeners, slot + (family === 4 ? 0 : LISTENER_SLOTS), fd);
    this.#servers.push(server);
    return server;
  }

  get listeners(): string {
    return join(this.lab.datapath.mapsFolder, 'listeners');
  }

  fromA(packet: Buffer): Outcome {
    return this.#outcome(() => this.lab.send('from_interface', packet, { ifindex: this.a }));
  }

  fromB(packet: Buffer): Outcome {
    return this.#outcome(() => this.lab.send('from_interface', packet, { ifindex: this.b }));
  }

  fromUplink(packet: Buffer): Outcome {
    return this.#outcome(() => this.lab.send('from_interface', packet, { ifindex: this.uplink }));
  }

  fromUnknown(packet: Buffer): Outcome {
    return this.#outcome(() => this.lab.send('from_interface', packet, { ifindex: this.unknown }));
  }

  /** `ingressIfindex` 0: from the node itself. */
  toB(
    packet: Buffer,
    skb: { readonly mark?: number; readonly ingressIfindex?: number } = {},
  ): Outcome {
    return this.#outcome(() => this.lab.send('to_endpoint', packet, { ifindex: this.b, ...skb }));
  }

  toUplink(
    packet: Buffer,
    skb: { readonly mark?: number; readonly ingressIfindex?: number } = {},
  ): Outcome {
    return this.#outcome(() =>
      this.lab.send('to_endpoint', packet, { ifindex: this.uplink, ...skb }),
    );
  }

  #outcome(send: () => Answer): Outcome {
    const before = this.lab.datapath.counters();
    const answer = send();
    const after = this.lab.datapath.counters();
    const counted = (Object.keys(after) as CounterName[]).filter(
      (name) => after[name] > before[name],
    );
    return { ...answer, counted, magic: answer.mark & MARK_MAGIC_MASK };
  }

  dispose(): void {
    for (const server of this.#servers) server.close();
    this.lab.dispose();
    this.pods.dispose();
  }
}

export interface Outcome extends Answer {
  readonly counted: readonly CounterName[];
  readonly magic: number;
}
