/**
 * Who is who and who may what, on this node, as entries of the kernel's maps: pure. A plan knows no
 * generation; the same plan under another one differs in nothing else.
 */
import { createHash } from 'node:crypto';
import { type IpAddress, type IpPrefix, parseIp } from '../model/address.ts';
import { IDENTITY_WORLD, type Identity, RESERVED_IDENTITIES } from '../model/identity.ts';
import type { PlannedBehind } from './behind.ts';
import type { MapEntry } from './kernel/api.ts';
import {
  encodeAddress,
  encodeAddressKey,
  encodeBehind,
  encodeBehindKey,
  encodeEndpoint,
  encodeEndpointKey,
  encodeInterface,
  encodeInterfaceKey,
  encodeOtherInterface,
  encodePort,
  encodePortKey,
  encodeSettings,
  encodeVerdict,
  encodeVerdictKey,
  IP_PROTOCOLS,
  identityCheck,
  type KernelVerdict,
  type PortState,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_REDIRECT,
} from './layout.ts';

/** What the policy's compiler gives (policy/kernel/kernel_table.ts), and what the node knows of itself. */
export interface PlanInput {
  readonly endpoints: readonly PlannedEndpoint[];
  readonly policies: readonly { readonly areas: readonly PlannedArea[] }[];
  readonly slots: readonly ReadonlyMap<Identity, PlannedVerdict>[];
  readonly prefixes: readonly { readonly prefix: IpPrefix; readonly identity: Identity }[];
  readonly labelsOf: (identity: Identity) => readonly string[];
  /** Interface name → index, of those that are there. */
  readonly interfaces: ReadonlyMap<string, number>;
  /** Of them, those that are ports of a bridge or the like. */
  readonly ports: ReadonlySet<string>;
  /** Of them, those that the programs cannot read: see NodeLinks. */
  readonly bare: ReadonlySet<string>;
  readonly uplinks: readonly string[];
  /** Of those that belong to another: name → the other's name. */
  readonly masters: ReadonlyMap<string, string>;
  readonly bridges: ReadonlySet<string>;
  /** Name → 6 bytes. */
  readonly linkAddresses: ReadonlyMap<string, Uint8Array>;
  /** Bridges of other programs: no claim holds on their ports. */
  readonly otherBridges: readonly string[];
  /** What is forwarded from an interface that this plan does not know is refused. */
  readonly isGuarded: boolean;
  /** Patterns of names that are ours, `*` for any characters. */
  readonly claims: readonly string[];
  /** The node's own addresses, all of them. */
  readonly hostAddresses: readonly string[];
  readonly isHostJudged: boolean;
  readonly behind: readonly PlannedBehind[];
}

export interface PlannedEndpoint {
  readonly name: string;
  readonly endpointId: number;
  /** Null: it is of this node, and which interface is its is not known (yet). */
  readonly interface: string | null;
  readonly ips: readonly string[];
  readonly identity: Identity;
  readonly egressPolicy: number;
  readonly ingressPolicy: number;
}

export interface PlannedArea {
  readonly protocol: keyof typeof PROTOCOL_NUMBERS;
  readonly prefixes: readonly { readonly port: number; readonly bits: number }[];
  readonly slot: number;
  readonly verdict: PlannedVerdict;
}

export type PlannedVerdict = 'deny' | 'allow' | 'redirect';

/** Maps whose keys hold a generation, in the order in which they are written. */
export const GENERATION_MAPS = [
  'verdicts',
  'ports',
  'endpoints',
  'addresses',
  'behind',
  'interfaces',
] as const;

export type GenerationMap = (typeof GENERATION_MAPS)[number];

export interface TablePlan {
  /** Its endpoints are numbered as the kernel knows them: see `numbered`. */
  readonly input: PlanInput;
  /** Interface index → number of its endpoint; null: an uplink. */
  readonly attached: ReadonlyMap<number, number | null>;
  /** Interface index → until when older connections are taken over (bpf_ktime_get_ns). No part of the digest. */
  readonly adoptsUntilNs: ReadonlyMap<number, bigint>;
  /** Indexes of interfaces that are ours by their name alone: they have the programs, and nothing passes. */
  readonly claimed: readonly number[];
  /** Indexes of those that a claim would hold, if they were not ports of somebody else's bridge. */
  readonly released: readonly number[];
  /** Endpoints and uplinks of the configuration whose interface is not there. */
  readonly missingInterfaces: readonly string[];
  /** Those that are there, and that the programs cannot read. */
  readonly unreadableInterfaces: readonly string[];
  /** Equal for plans that put the same in force. */
  readonly digest: string;
}

const PROTOCOL_NUMBERS = {
  TCP: IP_PROTOCOLS.TCP,
  UDP: IP_PROTOCOLS.UDP,
  SCTP: IP_PROTOCOLS.SCTP,
  ICMP: IP_PROTOCOLS.ICMP,
  ICMPv6: IP_PROTOCOLS.ICMPv6,
  other: IP_PROTOCOLS.any,
} as const;

export const VERDICTS: Readonly<Record<PlannedVerdict, KernelVerdict>> = {
  deny: VERDICT_DENY,
  allow: VERDICT_ALLOW,
  redirect: VERDICT_REDIRECT,
};

export function planOf(given: PlanInput): TablePlan {
  const input = { ...given, endpoints: numbered(given) };
  const attached = new Map<number, number | null>();
  const missingInterfaces: string[] = [];
  const unreadableInterfaces: string[] = [];
  const wanted = [
    ...input.uplinks.map((name) => ({ name, endpoint: null })),
    ...input.endpoints.flatMap(({ interface: name, endpointId }) =>
      name === null ? [] : [{ name, endpoint: endpointId }],
    ),
  ];
  for (const { name, endpoint } of wanted) {
    const ifindex = input.interfaces.get(name);
    if (ifindex === undefined) missingInterfaces.push(name);
    else if (input.bare.has(name)) unreadableInterfaces.push(name);
    else attached.set(ifindex, endpoint);
  }
  const ours = claimedBy(input).filter(({ ifindex }) => !attached.has(ifindex));
  const indexesOf = (isOther: boolean): readonly number[] =>
    ours.filter((one) => one.isOther === isOther).map(({ ifindex }) => ifindex);
  const [claimed, released] = [indexesOf(false), indexesOf(true)];
  const plan = {
    ...{ input, attached, claimed, released, missingInterfaces, unreadableInterfaces },
    ...{ adoptsUntilNs: NO_ADOPTION, digest: '' },
  };
  return { ...plan, digest: digestOf(plan) };
}

/**
 * To the kernel an endpoint is the index of its interface. Flows, records and shares hang on that number: it
 * must not change while the endpoint is there, whoever comes and goes beside it, and must never be another
 * one's. One whose interface is not there has no connections, so any number will do that no interface has.
 */
function numbered({ endpoints, interfaces }: PlanInput): readonly PlannedEndpoint[] {
  return endpoints.map((endpoint, position) => ({
    ...endpoint,
    endpointId: indexOf(interfaces, endpoint.interface) ?? UNATTACHED + position,
  }));
}

function indexOf(interfaces: PlanInput['interfaces'], name: string | null): number | undefined {
  return name === null ? undefined : interfaces.get(name);
}

/** Above every index; a mark has room for 24 bits. */
const UNATTACHED = 0x80_0000;

const LOOPBACK = 'lo';

function claimedBy({ claims, interfaces, bare, masters, otherBridges }: PlanInput) {
  return [...interfaces]
    .filter(([name]) => !bare.has(name) && isClaimed(claims, name))
    .map(([name, ifindex]) => {
      return { ifindex, isOther: otherBridges.includes(masters.get(name) ?? '') };
    });
}

/**
 * Indexes of interfaces that are none of ours, nor a bridge with ports of ours: what is forwarded from those has been
 * judged and marked at a port, or it has come by a port that has no programs yet.
 */
function othersOf({ input, attached, claimed }: TablePlan): readonly number[] {
  const { interfaces, masters, bridges, otherBridges, uplinks } = input;
  const ours = new Set([...attached.keys(), ...claimed]);
  const portsOf = new Map<string, string[]>();
  for (const [port, master] of masters) {
    portsOf.set(master, [...(portsOf.get(master) ?? []), port]);
  }
  const isOther = (name: string, ifindex: number): boolean => {
    if (ours.has(ifindex)) return false;
    if (!bridges.has(name) || otherBridges.includes(name)) return true;
    const ports = portsOf.get(name) ?? [];
    if (ports.some((port) => uplinks.includes(port))) return true;
    // Without a port it may be the next pod's.
    return ports.length > 0 && !ports.some((port) => ours.has(interfaces.get(port) ?? 0));
  };
  return [...interfaces].flatMap(([name, ifindex]) => (isOther(name, ifindex) ? [ifindex] : []));
}

/** `redirect.interfaces`: is an interface ours by its name? */
export function isClaimed(claims: readonly string[], name: string): boolean {
  return name !== LOOPBACK && claims.some((pattern) => isNameOf(pattern, name));
}

/** Both are short: what follows a `*` is looked for at each place of the name. */
function isNameOf(pattern: string, name: string): boolean {
  const star = pattern.indexOf('*');
  if (star < 0) return pattern === name;
  if (!name.startsWith(pattern.slice(0, star))) return false;
  const rest = pattern.slice(star + 1);
  for (let at = star; at <= name.length; at++) if (isNameOf(rest, name.slice(at))) return true;
  return false;
}

const NO_ADOPTION: ReadonlyMap<number, bigint> = new Map();

export function settingsOf(plan: TablePlan, generation: number): Buffer {
  const { isHostJudged, isGuarded, behind } = plan.input;
  const hasServices = behind.length > 0;
  return encodeSettings({ generation, isHostJudged, isGuarded, hasServices });
}

/** All entries of one map, under that generation; a generator, as there can be many. */
export function entriesOf(
  plan: TablePlan,
  map: GenerationMap,
  generation: number,
): Generator<MapEntry> {
  switch (map) {
    case 'interfaces':
      return interfaceEntries(plan, generation);
    case 'addresses':
      return addressEntries(plan, generation);
    case 'behind':
      return behindEntries(plan.input.behind, generation, WRITTEN_ONCE);
    case 'endpoints':
      return endpointEntries(plan, generation);
    case 'ports':
      return portEntries(plan, generation);
    case 'verdicts':
      return verdictEntries(plan, generation);
  }
}

function* interfaceEntries(plan: TablePlan, generation: number): Generator<MapEntry> {
  const { interfaces, ports } = plan.input;
  const portsByIndex = new Map(
    [...ports].map((name) => [interfaces.get(name), portState(name, plan.input)]),
  );
  for (const [ifindex, endpoint] of plan.attached) {
    const adoptsUntilNs = plan.adoptsUntilNs.get(ifindex) ?? 0n;
    const state = { adoptsUntilNs, port: portsByIndex.get(ifindex) ?? null };
    yield [encodeInterfaceKey(generation, ifindex), encodeInterface(endpoint, state)];
  }
  for (const ifindex of plan.input.isGuarded ? othersOf(plan) : []) {
    yield [encodeInterfaceKey(generation, ifindex), encodeOtherInterface()];
  }
}

function portState(name: string, input: PlanInput): PortState {
  const master = input.masters.get(name) ?? '';
  const bridgedAddress = input.bridges.has(master) ? input.linkAddresses.get(name) : undefined;
  return { master: input.interfaces.get(master) ?? 0, bridgedAddress: bridgedAddress ?? null };
}

function* addressEntries({ input }: TablePlan, generation: number): Generator<MapEntry> {
  const sides = new Map<string, { readonly prefix: IpPrefix; readonly value: Buffer }>();
  const add = (prefix: IpPrefix, identity: Identity, endpoint: number): void => {
    const key = `${prefix.address.text}/${prefix.length}`;
    if (sides.has(key)) return;
    sides.set(key, { prefix, value: addressValue(input, identity, endpoint) });
  };
  // In the order of who has the last word on an address: the first one that names a prefix counts.
  for (const { ips, endpointId, identity } of input.endpoints) {
    for (const ip of ips) add(fullPrefix(ip), identity, endpointId);
  }
  for (const { prefix, identity } of input.prefixes) add(prefix, identity, 0);
  for (const ip of input.hostAddresses)
    add(fullPrefix(ip), RESERVED_IDENTITIES.host as Identity, 0);
  // Written out, so that the check of the world's labels is there, too.
  for (const whole of WHOLE_FAMILIES) add(whole, IDENTITY_WORLD, 0);
  for (const { prefix, value } of sides.values()) {
    yield [encodeAddressKey(generation, prefix), value];
  }
}

export function addressValue(
  { labelsOf }: Pick<PlanInput, 'labelsOf'>,
  identity: Identity,
  endpoint: number,
): Buffer {
  const labels = labelsOf(identity);
  return encodeAddress({
    ...{ identity, check: identityCheck(labels), endpoint },
    isNode: NODES.some(
      (name) => identity === RESERVED_IDENTITIES[name] || labels.includes(`reserved:${name}`),
    ),
  });
}

/** Whose every address is dialled for NodePorts. */
const NODES = ['host', 'remote-node', 'kube-apiserver'] as const;

function* endpointEntries({ input, attached }: TablePlan, generation: number): Generator<MapEntry> {
  const withPrograms = new Set(attached.values());
  for (const endpoint of input.endpoints) {
    const check = checkOf(input, endpoint.identity);
    const isAttached = withPrograms.has(endpoint.endpointId);
    yield [
      encodeEndpointKey(generation, endpoint.endpointId),
      encodeEndpoint({ ...endpoint, check, isAttached }),
    ];
  }
}

function* portEntries({ input }: TablePlan, generation: number): Generator<MapEntry> {
  for (const [index, { areas }] of input.policies.entries()) {
    for (const { protocol, prefixes, slot, verdict } of areas) {
      const value = encodePort(slot, VERDICTS[verdict]);
      for (const { port, bits } of prefixes) {
        const range = { protocol: PROTOCOL_NUMBERS[protocol], port, bits };
        yield [encodePortKey(generation, index + 1, range), value];
      }
    }
  }
}

function* verdictEntries({ input }: TablePlan, generation: number): Generator<MapEntry> {
  for (const [index, slot] of input.slots.entries()) {
    for (const [identity, verdict] of slot) {
      yield [encodeVerdictKey(generation, index + 1, identity), encodeVerdict(VERDICTS[verdict])];
    }
  }
}

/** With the tables: until they change no entry is written twice. */
const WRITTEN_ONCE = 0;

export function* behindEntries(
  behind: readonly PlannedBehind[],
  generation: number,
  serial: number,
): Generator<MapEntry> {
  for (const one of behind) yield [behindKey(one, generation), encodeBehind(serial, one)];
}

export function behindKey(one: PlannedBehind, generation: number): Buffer {
  return encodeBehindKey(generation, { ...one, protocol: PROTOCOL_NUMBERS[one.protocol] });
}

function digestOf(plan: TablePlan): string {
  const hash = createHash('sha256').update(settingsOf(plan, 0));
  for (const map of GENERATION_MAPS) {
    // Sorted: the order in which a file names things puts nothing else in force.
    const texts: string[] = [];
    for (const [key, value] of entriesOf(plan, map, 0)) {
      texts.push(`${key.toString('latin1')}=${value.toString('latin1')}`);
    }
    hash.update(`${map} ${texts.length}\n`);
    for (const text of texts.sort()) hash.update(text, 'latin1');
  }
  return hash.digest('hex');
}

function checkOf(input: PlanInput, identity: Identity): bigint {
  return identityCheck(input.labelsOf(identity));
}

export function fullPrefix(ip: string): IpPrefix {
  const address = parseIp(ip);
  if (address === null) throw new TypeError(`"${ip}" is no IP address`);
  const length = address.bytes.length * 8;
  return { address, length, text: `${address.text}/${length}` };
}

export const WHOLE_FAMILIES: readonly IpPrefix[] = ['0.0.0.0', '::'].map((text) => {
  const address = parseIp(text) as IpAddress;
  return { address, length: 0, text: `${text}/0` };
});
