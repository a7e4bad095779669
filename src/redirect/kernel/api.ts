/**
 * What this folder gives to the rest of `redirect/`, in one place; `datapath.ts` and `pinned.ts` make it.
 *
 *     const datapath = openDatapath({ root: '/sys/fs/bpf/sallyport', objectPath })   datapath.ts
 *     datapath.maps.addresses.updateMany(entries)    // keys and values: redirect/layout.ts
 *     datapath.maps.settings.update(key, value)      // LAST: this puts the generation in force
 *     datapath.attachInterface(ifindex)              // and only THEN, or everything is refused
 *     datapath.attachLookup('/proc/self/ns/net')
 *     datapath.commit()                              // now pins of an older layout go
 *     datapath.close()                               // pins and links stay in the kernel
 *     removeDatapath('/sys/fs/bpf/sallyport')
 *
 *     openPinnedMap(path).lookup(key)                pinned.ts: by file permission, no capability
 *     sockmapUpdate(path, slot, socketFd)
 *
 * Pins: <root>/v<LAYOUT_VERSION>/{maps,progs,links}/NAME; links are named tcx_ingress_<ifindex>,
 * tcx_egress_<ifindex> and lookup_<netns inode>. Interfaces are those of the calling process's namespace.
 */
import type { CounterName } from '../layout.ts';

export const MAP_NAMES = [
  'settings',
  'interfaces',
  'addresses',
  'endpoints',
  'ports',
  'verdicts',
  'behind',
  'records',
  'flows',
  'turns',
  'returns',
  'spare_records',
  'datagrams',
  'spare_flows',
  'spare_turns',
  'spare_returns',
  'seats',
  'listeners',
  'counters',
  'refusals',
  'fragments',
  'rates',
] as const;

export type MapName = (typeof MAP_NAMES)[number];

export const PROGRAM_NAMES = ['from_interface', 'to_endpoint', 'proxy_lookup'] as const;

export type ProgramName = (typeof PROGRAM_NAMES)[number];

export type MapEntry = readonly [key: Buffer, value: Buffer];

/** A map that can be read: lookups give null for "no such key" and throw a KernelError otherwise. */
export interface ReadableMap {
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly maxEntries: number;
  lookup(key: Buffer): Buffer | null;
  /** All entries, while others may write: an entry may be missed or seen twice then. */
  entries(): Generator<MapEntry>;
  /** Of them. */
  count(): number;
  close(): void;
}

export interface WritableMap extends ReadableMap {
  update(key: Buffer, value: Buffer): void;
  /** Many at once by BPF_MAP_UPDATE_BATCH where the map knows it, one by one where not. */
  updateMany(entries: Iterable<MapEntry>): void;
  /** False: there was no such key. */
  delete(key: Buffer): boolean;
  deleteMany(keys: Iterable<Buffer>): void;
  keys(): Generator<Buffer>;
}

export interface Refusal {
  readonly source: string;
  readonly destination: string;
  readonly destinationPort: number;
  readonly protocol: number;
  readonly reason: CounterName;
  /** bpf_ktime_get_ns of the last one. */
  readonly timeNs: bigint;
  readonly count: bigint;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
}

/** For `redirect status`. Times are counted while kernel.bpf_stats_enabled is on. */
export interface ProgramStatus {
  readonly name: ProgramName;
  readonly id: number;
  readonly runCount: bigint;
  readonly runTimeNs: bigint;
}

export interface DatapathOptions {
  /** A folder on a bpffs (see `mountBpffs`), ours alone. */
  readonly root: string;
  /** The compiled object; its manifest lies beside it as `<object>.json`. */
  readonly objectPath: string;
  /** Group that may read records and write `listeners`: the proxy's. Default 1337. */
  readonly proxyGid?: number;
}

export interface Datapath {
  readonly maps: Readonly<Record<MapName, WritableMap>>;
  /** Where the pins of the maps are, for whoever opens them by path. */
  readonly mapsFolder: string;
  /** True: the maps were there already, with what was in them. */
  readonly isReused: boolean;
  /** Both hooks of an interface, endpoint's or uplink's. Again: replaces the program, atomically. */
  attachInterface(ifindex: number): void;
  /** The hook alone that judges what comes from it, and marks it as judged for all others. */
  attachIngress(ifindex: number): void;
  /** False: it was not attached. */
  detachInterface(ifindex: number): boolean;
  /** Of those that were attached, also by an earlier process. */
  attachedInterfaces(): number[];
  attachLookup(netnsPath: string): void;
  counters(): Record<CounterName, bigint>;
  refusals(): Refusal[];
  programs(): ProgramStatus[];
  /** Removes pins of other layouts. Call it after everything is attached to this one. */
  commit(): void;
  /** Closes our descriptors; what is pinned and attached works on. */
  close(): void;
}
