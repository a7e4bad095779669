/** The node's interfaces and addresses, of the network namespace that we are in (`ip -j addr`). */
import { existsSync, readFileSync } from 'node:fs';
import { parseIp } from '../../model/address.ts';
import { type RunCommand, saidBy } from './command.ts';

export interface NodeLinks {
  /** Name → index. */
  readonly interfaces: ReadonlyMap<string, number>;
  /** Those that belong to another (a bridge, a bond, a VRF), by which their packets come in to the stack. */
  readonly ports: ReadonlySet<string>;
  /** Of those that belong to another: name → the other's name. */
  readonly masters: ReadonlyMap<string, string>;
  readonly bridges: ReadonlySet<string>;
  /** Name → 6 bytes, of those that have an Ethernet header. */
  readonly linkAddresses: ReadonlyMap<string, Uint8Array>;
  /** Those whose packets have no link header (tun, WireGuard, IPIP): the programs cannot read them. */
  readonly bare: ReadonlySet<string>;
  /** The node's own. Canonical, sorted, without repetition. */
  readonly addresses: readonly string[];
  readonly isLoopbackUp: boolean;
}

export type LinksResult =
  | { readonly kind: 'links'; readonly links: NodeLinks }
  | { readonly kind: 'error'; readonly message: string };

export async function readLinks(run: RunCommand): Promise<LinksResult> {
  const result = await run('ip', ['-j', '-d', 'address', 'show']);
  if (result.code !== 0) return { kind: 'error', message: `ip address: ${saidBy(result)}` };
  const entries = parseJsonList(result.stdout);
  if (entries === null) return { kind: 'error', message: 'ip address: its output is no JSON list' };
  const interfaces = new Map<string, number>();
  const addresses = new Set<string>();
  const ports = new Set<string>();
  const masters = new Map<string, string>();
  const bridges = new Set<string>();
  const linkAddresses = new Map<string, Uint8Array>();
  const bare = new Set<string>();
  let isLoopbackUp = false;
  for (const {
    ifname,
    ifindex,
    flags,
    linkinfo,
    master,
    link_type: linkType,
    address: linkAddress,
    addr_info: infos,
  } of entries) {
    if (typeof ifname !== 'string' || typeof ifindex !== 'number') continue;
    interfaces.set(ifname, ifindex);
    if (kindOf(linkinfo) === 'bridge') bridges.add(ifname);
    if (master !== undefined) ports.add(ifname);
    if (typeof master === 'string') masters.set(ifname, master);
    const bytes = typeof linkAddress === 'string' ? parseLinkAddress(linkAddress) : null;
    if (bytes !== null) linkAddresses.set(ifname, bytes);
    if (linkType !== undefined && !LINK_TYPES.includes(linkType)) bare.add(ifname);
    const has = (flag: string): boolean => Array.isArray(flags) && flags.includes(flag);
    if (has('LOOPBACK') && has('UP')) isLoopbackUp = true;
    if (ifname === IPVS_DEVICE) continue;
    for (const { local } of Array.isArray(infos) ? (infos as Entry[]) : []) {
      const address = typeof local === 'string' ? parseIp(local) : null;
      if (address !== null) addresses.add(address.text);
    }
  }
  // Taken at its word, a list without any interface would detach every program there is.
  if (interfaces.size === 0) return { kind: 'error', message: 'ip address: no interface at all' };
  const own = [...addresses].sort();
  const ofPorts = { ports, masters, bridges, linkAddresses };
  return {
    kind: 'links',
    links: { interfaces, ...ofPorts, bare, addresses: own, isLoopbackUp },
  };
}

/** "7a:01:…"; null: it is no Ethernet address. */
function parseLinkAddress(text: string): Uint8Array | null {
  return /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(text)
    ? Buffer.from(text.replaceAll(':', ''), 'hex')
    : null;
}

/** "veth", "bridge"; null: it is not told (without `-d`), or the link has none. */
export function kindOf(info: unknown): unknown {
  return typeof info === 'object' && info !== null && 'info_kind' in info ? info.info_kind : null;
}

/** Of kube-proxy with IPVS: the addresses of all Services lie on it, and none of them is the node's. */
const IPVS_DEVICE = 'kube-ipvs0';

/** With an Ethernet header. */
const LINK_TYPES: readonly unknown[] = ['ether', 'loopback'];

/**
 * Differs when an interface came, went or was made anew, or an IPv6 address changed: a look that costs
 * no process. (IPv4 addresses alone do not show.) Null: this kernel does not tell.
 */
export function linksStamp(): string | null {
  try {
    const names = readFileSync('/proc/net/dev', 'utf8').matchAll(/^\s*([^\s:]+):/gm);
    const indexes = readFileSync('/proc/net/igmp', 'utf8').matchAll(/^[0-9]+\s+\S+/gm);
    const addresses = existsSync(IPV6_ADDRESSES) ? readFileSync(IPV6_ADDRESSES, 'utf8') : '';
    const texts = [...names, ...indexes].map((match) => match[1] ?? match[0]);
    return `${texts.join('\n')}\n${addresses}`;
  } catch {
    return null;
  }
}

const IPV6_ADDRESSES = '/proc/net/if_inet6';

export type Entry = Readonly<Record<string, unknown>>;

/** What iproute2 prints with `-j`; nothing at all is an empty list. Null: something else. */
export function parseJsonList(text: string): readonly Entry[] | null {
  if (text.trim() === '') return [];
  try {
    const value: unknown = JSON.parse(text);
    if (!Array.isArray(value)) return null;
    return value.filter((entry): entry is Entry => typeof entry === 'object' && entry !== null);
  } catch {
    return null;
  }
}
