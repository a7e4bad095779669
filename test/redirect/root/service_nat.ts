/**
 * What nodes do to packets for Services, as kube-proxy's rules do it: the receiver's address in the place of
 * the Service's, and where it has to be, the node's in the place of the sender's. Real iptables, in the
 * node's namespace; both of its forms.
 */
import type { Netns } from './netns.ts';

export type Family = 4 | 6;

/** `legacy` and `nft` are two implementations in the kernel: hooks and marks come in another order. */
export type Iptables = 'iptables-legacy' | 'iptables-nft';

export interface ServiceNat {
  readonly name: string;
  /** Where clients go to: an address of the node's own, or one that nobody has. */
  readonly address: 'node' | 'virtual';
  readonly port: number;
  /** What is put in the place of the sender's address; null: nothing. */
  readonly source: readonly string[] | null;
  /** A mark of all bits, which takes ours away. */
  readonly isMarkLost?: boolean;
}

const MASQUERADE = ['-j', 'MASQUERADE'];
const RANDOM = ['-j', 'MASQUERADE', '--random-fully'];

/** kube-proxy: KUBE-MARK-MASQ sets the bit, KUBE-POSTROUTING takes it off and masquerades. */
export const SERVICE_NATS: readonly ServiceNat[] = [
  { name: 'ClusterIP', address: 'virtual', port: 8001, source: null },
  { name: 'ClusterIP with --masquerade-all', address: 'virtual', port: 8002, source: RANDOM },
  { name: 'NodePort, Local', address: 'node', port: 30_003, source: null },
  { name: 'NodePort, Cluster', address: 'node', port: 30_004, source: RANDOM },
  { name: 'LoadBalancer address, Cluster', address: 'virtual', port: 8005, source: MASQUERADE },
  {
    name: 'NodePort behind a rule that overwrites all marks',
    ...{ address: 'node', port: 30_006, source: MASQUERADE, isMarkLost: true },
  },
];

export const MASQUERADE_BIT = '0x4000/0x4000';

export interface Backend {
  readonly ip: string;
  readonly tcpPort: number;
  readonly udpPort: number;
}

/** Chains as kube-proxy has them; `addresses`: of the Service, by what `ServiceNat.address` says. */
export function addService(
  node: Netns,
  nat: ServiceNat,
  place: {
    readonly iptables: Iptables;
    readonly family: Family;
    readonly address: string;
    readonly backend: Backend;
  },
): void {
  const { iptables, family, address, backend } = place;
  const run = (...words: readonly string[]): void => {
    node.run([family === 4 ? iptables : iptables.replace('ip', 'ip6'), '-w', ...words]);
  };
  const to = family === 4 ? backend.ip : `[${backend.ip}]`;
  for (const [protocol, port] of [
    ['tcp', backend.tcpPort],
    ['udp', backend.udpPort],
  ] as const) {
    const match = ['-p', protocol, '-d', address, '--dport', String(nat.port)];
    for (const chain of ['PREROUTING', 'OUTPUT']) {
      if (nat.source !== null)
        run('-t', 'nat', '-A', chain, ...match, '-j', 'MARK', '--set-xmark', MASQUERADE_BIT);
      run('-t', 'nat', '-A', chain, ...match, '-j', 'DNAT', '--to-destination', `${to}:${port}`);
    }
    if (nat.isMarkLost === true)
      run('-t', 'mangle', '-A', 'PREROUTING', ...match, '-j', 'MARK', '--set-mark', '0x1');
  }
  const own = ['-d', backend.ip, '-m', 'conntrack', '--ctorigdstport', String(nat.port)];
  if (nat.source !== null)
    run(
      '-t',
      'nat',
      '-A',
      'POSTROUTING',
      '-m',
      'mark',
      '--mark',
      MASQUERADE_BIT,
      ...own,
      ...nat.source,
    );
}

/** Packets to the backend itself get the node's address, as on nodes that masquerade all. */
export function masquerade(
  node: Netns,
  place: { readonly iptables: Iptables; readonly family: Family; readonly backend: Backend },
): void {
  const { iptables, family, backend } = place;
  const program = family === 4 ? iptables : iptables.replace('ip', 'ip6');
  for (const [protocol, port] of [
    ['tcp', backend.tcpPort],
    ['udp', backend.udpPort],
  ] as const) {
    const match = ['-p', protocol, '-d', backend.ip, '--dport', String(port)];
    const whose = ['-m', 'conntrack', '!', '--ctstate', 'DNAT'];
    node.run([
      program,
      '-w',
      '-t',
      'nat',
      '-A',
      'POSTROUTING',
      ...match,
      ...whose,
      '-j',
      'MASQUERADE',
    ]);
  }
}

/** `icmp` as well: an echo to the address is one to the backend. */
export function addEchoNat(
  node: Netns,
  place: {
    readonly iptables: Iptables;
    readonly family: Family;
    readonly address: string;
    readonly backend: Backend;
  },
): void {
  const { iptables, family, address, backend } = place;
  const program = family === 4 ? iptables : iptables.replace('ip', 'ip6');
  const protocol = family === 4 ? 'icmp' : 'ipv6-icmp';
  const words = ['-p', protocol, '-d', address, '-j', 'DNAT', '--to-destination', backend.ip];
  node.run([program, '-w', '-t', 'nat', '-A', 'PREROUTING', ...words]);
  const source = ['-p', protocol, '-d', backend.ip, '-m', 'conntrack', '--ctorigdst', address];
  node.run([program, '-w', '-t', 'nat', '-A', 'POSTROUTING', ...source, '-j', 'MASQUERADE']);
}
