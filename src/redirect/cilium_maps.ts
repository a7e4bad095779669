/**
 * Identities as Cilium's datapath knows them, for life under it: who opened a connection (conntrack) and
 * whom an address belongs to (ipcache), from the maps that its agent has pinned. Read by file permission.
 *
 * The agent may pin another map in the place of one that we hold open, and then nobody writes ours any
 * more: so a miss opens the pin again and asks once more, and so does age.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseIp, type SocketAddress } from '../model/address.ts';
import type { Direction, Identity } from '../model/identity.ts';
import type { Clock } from '../platform/platform.ts';
import {
  CONNTRACK_KEY_BYTES,
  CONNTRACK_TYPES,
  CONNTRACK_VALUE_BYTES,
  decodeConntrackSource,
  decodeIpcacheIdentity,
  encodeConntrackKey,
  encodeIpcacheKey,
  IPCACHE_KEY_BYTES,
  IPCACHE_TYPES,
  IPCACHE_VALUE_BYTES_MAX,
  IPCACHE_VALUE_BYTES_MIN,
} from './cilium_layout.ts';
import { OPEN_READ_ONLY } from './kernel/bpf.ts';
import { KernelMap } from './kernel/kernel_map.ts';

export interface CiliumIdentities {
  /** The identity that sent the connection's first packet; null: not known. */
  sourceOf(
    ends: { readonly source: SocketAddress; readonly destination: SocketAddress },
    direction: Direction,
  ): Identity | null;
  /** The identity that the address has now; null: not known. */
  identityOf(ip: string): Identity | null;
  close(): void;
}

export interface CiliumPins extends CiliumIdentities {
  /** Throws, in words for the user, when there is no ipcache that can be read. */
  checkIpcache(): void;
}

export interface CiliumMapsOptions {
  /** The bpffs: maps are in tc/globals below it. */
  readonly root: string;
  /** Name of the ipcache's pin; null: the newest that is there, as it changes with Cilium's version. */
  readonly ipcacheName: string | null;
  readonly limits: {
    readonly ciliumCacheTtlMs: number;
    readonly ciliumCacheCountMax: number;
    readonly ciliumMapAgeMaxMs: number;
  };
  readonly clock: Clock;
  /** A map that cannot be read, or is not what its name says: told at each try to open it. */
  readonly onProblem: (problem: Error) => void;
  /** Default: the kernel's. */
  readonly open?: (path: string) => PinnedMap;
  /** Names in a folder. Default: the file system's. */
  readonly list?: (folder: string) => readonly string[];
}

export interface PinnedMap {
  readonly type: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  lookup(key: Buffer): Buffer | null;
  close(): void;
}

export function openCiliumMaps(options: CiliumMapsOptions): CiliumPins {
  return new CiliumMaps(options);
}

class CiliumMaps implements CiliumPins {
  readonly #options: CiliumMapsOptions;
  readonly #conntrack: { readonly 4: LiveMap; readonly 6: LiveMap };
  readonly #ipcache: LiveMap;
  readonly #known = new Map<
    string,
    { readonly identity: Identity | null; readonly untilMs: number }
  >();

  constructor(options: CiliumMapsOptions) {
    this.#options = options;
    const conntrack = (family: 4 | 6): LiveMap =>
      new LiveMap(options, () => `cilium_ct${family}_global`, {
        types: CONNTRACK_TYPES,
        keyBytes: CONNTRACK_KEY_BYTES[family],
        valueBytesMin: CONNTRACK_VALUE_BYTES,
        valueBytesMax: CONNTRACK_VALUE_BYTES,
      });
    this.#conntrack = { 4: conntrack(4), 6: conntrack(6) };
    this.#ipcache = new LiveMap(options, () => options.ipcacheName ?? newestIpcache(options), {
      types: IPCACHE_TYPES,
      keyBytes: IPCACHE_KEY_BYTES,
      valueBytesMin: IPCACHE_VALUE_BYTES_MIN,
      valueBytesMax: IPCACHE_VALUE_BYTES_MAX,
    });
  }

  sourceOf(
    ends: { readonly source: SocketAddress; readonly destination: SocketAddress },
    direction: Direction,
  ): Identity | null {
    const source = withBytes(ends.source);
    const destination = withBytes(ends.destination);
    if (source === null || destination === null || source.family !== destination.family)
      return null;
    const key = encodeConntrackKey({ source, destination }, direction);
    const value = this.#conntrack[source.family].lookup(key);
    return value === null ? null : decodeConntrackSource(value);
  }

  identityOf(ip: string): Identity | null {
    const { clock, limits } = this.#options;
    const nowMs = clock.nowMs();
    const known = this.#known.get(ip);
    if (known !== undefined && nowMs < known.untilMs) return known.identity;
    const address = parseIp(ip);
    const value = address === null ? null : this.#ipcache.lookup(encodeIpcacheKey(address));
    const identity = value === null ? null : decodeIpcacheIdentity(value);
    // All at once: what is in it is worth a few milliseconds only.
    if (this.#known.size >= limits.ciliumCacheCountMax) this.#known.clear();
    if (limits.ciliumCacheTtlMs > 0) {
      this.#known.set(ip, { identity, untilMs: nowMs + limits.ciliumCacheTtlMs });
    }
    return identity;
  }

  checkIpcache(): void {
    this.#ipcache.check();
  }

  close(): void {
    this.#conntrack[4].close();
    this.#conntrack[6].close();
    this.#ipcache.close();
    this.#known.clear();
  }
}

/** `cilium_ipcache`, and since 1.19 with the number of its layout. */
const IPCACHE_NAME = /^cilium_ipcache(?:_v([0-9]{1,4}))?$/;

function newestIpcache({
  root,
  list = (folder) => readdirSync(folder),
}: CiliumMapsOptions): string {
  const folder = join(root, GLOBALS);
  const found = list(folder)
    .map((name) => IPCACHE_NAME.exec(name))
    .filter((match) => match !== null)
    .sort((a, b) => Number(b[1] ?? 0) - Number(a[1] ?? 0));
  const [newest] = found;
  if (newest === undefined)
    throw new Error(`${folder}: no ipcache of Cilium’s (cilium_ipcache_v2) is pinned there`);
  return newest[0];
}

const GLOBALS = 'tc/globals';

interface MapShape {
  readonly types: readonly number[];
  readonly keyBytes: number;
  readonly valueBytesMin: number;
  readonly valueBytesMax: number;
}

/** One pin, opened when it is asked and again when it may be another map's by now. */
class LiveMap {
  readonly #options: CiliumMapsOptions;
  /** Its pin; throws when it is not known. */
  readonly #name: () => string;
  readonly #shape: MapShape;
  #map: PinnedMap | null = null;
  #openedMs = 0;

  constructor(options: CiliumMapsOptions, name: () => string, shape: MapShape) {
    this.#options = options;
    this.#name = name;
    this.#shape = shape;
  }

  lookup(key: Buffer): Buffer | null {
    const { clock, limits } = this.#options;
    if (clock.nowMs() - this.#openedMs >= limits.ciliumMapAgeMaxMs) this.close();
    const wasOpen = this.#map !== null;
    const found = this.#ask(key);
    if (found !== null) return found;
    this.close();
    return wasOpen ? this.#ask(key) : null;
  }

  check(): void {
    this.#map ??= this.#open();
  }

  close(): void {
    this.#map?.close();
    this.#map = null;
  }

  /** Null also for a map that cannot be read: then the next source is asked. */
  #ask(key: Buffer): Buffer | null {
    try {
      this.#map ??= this.#open();
      return this.#map.lookup(key);
    } catch (error) {
      this.#options.onProblem(error instanceof Error ? error : new Error(String(error)));
      return null;
    }
  }

  #open(): PinnedMap {
    const open = this.#options.open ?? openKernelMap;
    const path = join(this.#options.root, GLOBALS, this.#name());
    const map = open(path);
    const { types, keyBytes, valueBytesMin, valueBytesMax } = this.#shape;
    const isExpected =
      types.includes(map.type) &&
      map.keyBytes === keyBytes &&
      map.valueBytes >= valueBytesMin &&
      map.valueBytes <= valueBytesMax;
    if (!isExpected) {
      map.close();
      throw new Error(
        `${path}: a map of type ${map.type} with keys of ${map.keyBytes} and values of ${map.valueBytes} bytes is not the one that Cilium's proxy knows`,
      );
    }
    this.#openedMs = this.#options.clock.nowMs();
    return map;
  }
}

function openKernelMap(path: string): PinnedMap {
  return KernelMap.open(path, OPEN_READ_ONLY);
}

function withBytes(
  address: SocketAddress,
): (SocketAddress & { readonly bytes: Uint8Array }) | null {
  const ip = parseIp(address.ip);
  return ip === null ? null : { ...address, bytes: ip.bytes };
}
