/**
 * The tables of Services in the kernel, kept as the last `apply` says. What changes for a frontend is written as a
 * table of its own beside the one in force, then the frontend's entry is replaced in one write: who dials it gets the
 * backends of before or those of now.
 *
 *     backends ─► slots of the new table ─► frontends that are gone ─► frontends: in force
 *                                                  grace ─► slots of tables before, backends that nobody names
 *
 * The first `apply` takes up what another loader left, so a restart writes what differs. A write that fails leaves
 * each frontend with one whole table; the next `apply` then reads again what the kernel has. Where that is no room for
 * what is wanted, it makes some (`#makeRoom`): no state of the maps needs anybody to empty them.
 */
import type { IpAddress } from '../../model/address.ts';
import type { ServiceFrontend } from '../../model/service_frontend.ts';
import type { MapEntry, WritableMap } from '../kernel/api.ts';
import { BackendNumbers } from './backend_numbers.ts';
import { FreeNumbers } from './free_numbers.ts';
import {
  affinityGroup,
  decodeFrontend,
  decodeSlot,
  encodeBackendKey,
  encodeFrontend,
  encodeFrontendKey,
  encodeNodeAddress,
  encodeSlot,
  encodeSlotKey,
  PRESENT,
} from './layout.ts';
import { maglevTable } from './maglev.ts';
import { type ServiceRoom, withoutRoom } from './service_room.ts';

export type TableMaps = Readonly<
  Record<'frontends' | 'slots' | 'backends' | 'node_addresses', WritableMap>
>;

export interface ServiceTablesOptions {
  readonly nowMs: () => number;
  /** From a change to when no program can be at work with what was before. */
  readonly graceMs: number;
}

export interface ServicesInForce {
  readonly frontends: readonly ServiceFrontend[];
  /** Of the node: where NodePorts are. */
  readonly nodeAddresses: readonly IpAddress[];
}

export interface ServiceUpdate {
  /** Frontends that were written, and taken away. */
  readonly written: number;
  readonly removed: number;
  readonly frontendCount: number;
  readonly backendCount: number;
  /** Of a protocol that has no hook, or with the address of another one, or without room in the maps. */
  readonly left: readonly ServiceFrontend[];
}

interface Held {
  readonly frontend: ServiceFrontend | null;
  readonly table: number;
  /** Numbers of backends. */
  readonly slots: readonly number[];
  /** False: the kernel has not all of them. */
  readonly isWhole: boolean;
  readonly value: Buffer;
}

interface Retired {
  readonly atMs: number;
  readonly table: number;
  readonly slotCount: number;
  readonly backends: ReadonlySet<number>;
}

interface Writes {
  readonly backends: MapEntry[];
  readonly slots: MapEntry[];
  readonly frontends: MapEntry[];
}

export class ServiceTables {
  readonly #maps: TableMaps;
  readonly #options: ServiceTablesOptions;
  /** By the key's bytes. Null: what the kernel has is to be read. */
  #held: Map<string, Held> | null = null;
  #backends = new BackendNumbers();
  #tables = new FreeNumbers();
  #nodeAddresses = new Set<string>();
  #retired: Retired[] = [];
  /** In the kernel, of tables. */
  #slotCount = 0;
  /** Of frontends: what did not change is not encoded again. Null: none, see `encodeFrontendKey`. */
  readonly #keys = new WeakMap<ServiceFrontend, string | null>();

  constructor(maps: TableMaps, options: ServiceTablesOptions) {
    this.#maps = maps;
    this.#options = options;
  }

  /** Throws when it cannot be written: each frontend has what it had, or what it should have. */
  apply({ frontends, nodeAddresses }: ServicesInForce): ServiceUpdate {
    const held = this.#held ?? this.#takeUp();
    // Until all is written.
    this.#held = null;
    const { wanted, left } = this.#byKey(frontends);
    const gone = [...held].filter(([key]) => !wanted.has(key));
    const changed = [...wanted].filter(([key, one]) => held.get(key)?.frontend !== one);
    const writes: Writes = { backends: [], slots: [], frontends: [] };
    const next = changed.map(([key, one]) => this.#plan({ key, one, had: held.get(key) }, writes));
    const replaced = next.flatMap(([key, one]): [string, Held][] => {
      const had = held.get(key);
      return had === undefined || had.table === one.table ? [] : [[key, had]];
    });
    this.#makeRoom(writes, [...gone, ...replaced], held);
    this.#write(writes, nodeAddresses, gone);
    // Only now: what is in force after a write that failed is not to be swept.
    for (const [key, had] of gone) if (held.delete(key)) this.#retire(had);
    for (const [key, one] of next) {
      const had = held.get(key);
      if (had !== undefined && had.table !== one.table) this.#retire(had);
      held.set(key, one);
    }
    this.#held = held;
    return {
      written: writes.frontends.length,
      removed: gone.length,
      frontendCount: held.size,
      backendCount: this.#backends.size,
      left,
    };
  }

  /** Removes what has not been in force for the grace. */
  sweep(): void {
    const untilMs = this.#options.nowMs() - this.#options.graceMs;
    const due = this.#retired.filter(({ atMs }) => atMs <= untilMs);
    if (due.length === 0) return;
    this.#retired = this.#retired.filter(({ atMs }) => atMs > untilMs);
    this.#drop(due);
  }

  /**
   * Changes within one grace, or after a loader that was killed amid one, may need more than what the maps hold. First
   * goes what nothing leads to: a program that is at work with it looks again. Then, which only a kill can make
   * needed, what is to be replaced: who dials that is left to kube-proxy until it is written.
   */
  #makeRoom(
    writes: Writes,
    leaving: readonly (readonly [string, Held])[],
    held: Map<string, Held>,
  ): void {
    if (this.#hasRoom(writes)) return;
    this.#drop(this.#retired.splice(0));
    if (this.#hasRoom(writes)) return;
    this.#maps.frontends.deleteMany(leaving.map(([key]) => bytesOf(key)));
    for (const [key] of leaving) held.delete(key);
    this.#drop(leaving.map(([, had]) => this.#retiredOf(had)));
  }

  /** Backends that are to be written have their numbers already. */
  #hasRoom({ slots }: Writes): boolean {
    const { slots: map, backends } = this.#maps;
    return (
      this.#slotCount + slots.length + LAST_NUMBERS <= map.maxEntries &&
      this.#backends.size <= backends.maxEntries
    );
  }

  #drop(tables: readonly Retired[]): void {
    for (const { table, slotCount, backends } of tables) {
      const keys = Array.from({ length: slotCount }, (_, slot) => encodeSlotKey(table, slot));
      this.#maps.slots.deleteMany(keys);
      this.#slotCount -= slotCount;
      this.#tables.free(table);
      this.#maps.backends.deleteMany(this.#backends.release(backends).map(encodeBackendKey));
    }
  }

  #byKey(frontends: readonly ServiceFrontend[]) {
    const wanted = new Map<string, ServiceFrontend>();
    const left: ServiceFrontend[] = [];
    for (const one of frontends) {
      const key = this.#keyOf(one);
      if (key === null || wanted.has(key)) left.push(one);
      else wanted.set(key, one);
    }
    for (const one of withoutRoom([...wanted.values()], this.#room)) {
      wanted.delete(this.#keyOf(one) as string);
      left.push(one);
    }
    return { wanted, left };
  }

  /** Half of the maps: while all of it changes, what was before is there as well. */
  get #room(): ServiceRoom {
    const { frontends, slots, backends } = this.#maps;
    const halfOf = ({ maxEntries }: WritableMap): number => Math.floor(maxEntries / 2);
    return {
      frontendCountMax: halfOf(frontends),
      slotCountMax: halfOf(slots) - LAST_NUMBERS,
      backendCountMax: halfOf(backends),
    };
  }

  /** For the next loader, in a table that nothing leads to. */
  #lastNumbers(): readonly MapEntry[] {
    return [
      encodeSlot(NO_TABLE, LAST_TABLE, this.#tables.last),
      encodeSlot(NO_TABLE, LAST_BACKEND, this.#backends.last),
    ];
  }

  #keyOf(one: ServiceFrontend): string | null {
    const known = this.#keys.get(one);
    if (known !== undefined) return known;
    const key = encodeFrontendKey(one);
    const text = key === null ? null : textOf(key);
    this.#keys.set(one, text);
    return text;
  }

  #plan(
    {
      key,
      one,
      had,
    }: { readonly key: string; readonly one: ServiceFrontend; readonly had: Held | undefined },
    writes: Writes,
  ): [string, Held] {
    const slots = this.#slotsOf(one, writes);
    const isSame = had?.isWhole === true && areSame(had.slots, slots);
    const table = isSame ? had.table : this.#tables.next();
    const value = encodeFrontend(table, slots.length, {
      group: affinityGroup(one),
      affinityMs: one.affinityMs ?? 0,
      isHashed: one.isConsistentlyHashed,
    });
    if (!isSame) {
      slots.forEach((backend, slot) => void writes.slots.push(encodeSlot(table, slot, backend)));
      this.#backends.use(new Set(slots));
    }
    if (!isSame || !value.equals(had.value)) writes.frontends.push([bytesOf(key), value]);
    return [key, { frontend: one, table, slots, isWhole: true, value }];
  }

  /** Who is hashed finds the same backend at the same slot: so Maglev's table is the table. */
  #slotsOf({ backends, isConsistentlyHashed }: ServiceFrontend, writes: Writes): readonly number[] {
    const numbers = backends.map((backend) => {
      const { number, entry } = this.#backends.numberOf(backend);
      if (entry !== null) writes.backends.push(entry);
      return number;
    });
    if (!isConsistentlyHashed) return [...new Set(numbers)];
    const byName = new Map(
      backends.map(({ address, port }, index) => [`${address.text} ${port}`, numbers[index]]),
    );
    return maglevTable([...byName.keys()]).map((name) => byName.get(name) as number);
  }

  #write(
    { backends, slots, frontends }: Writes,
    nodeAddresses: readonly IpAddress[],
    gone: readonly (readonly [string, Held])[],
  ): void {
    const maps = this.#maps;
    const addresses = new Set(nodeAddresses.map((one) => textOf(encodeNodeAddress(one))));
    const before = this.#nodeAddresses;
    maps.backends.updateMany(backends);
    maps.slots.updateMany([...this.#lastNumbers(), ...slots]);
    this.#slotCount += slots.length;
    maps.node_addresses.updateMany(
      [...addresses.difference(before)].map((key): MapEntry => [bytesOf(key), PRESENT]),
    );
    maps.frontends.deleteMany(gone.map(([key]) => bytesOf(key)));
    maps.frontends.updateMany(frontends);
    maps.node_addresses.deleteMany([...before.difference(addresses)].map(bytesOf));
    this.#nodeAddresses = addresses;
  }

  #retire(had: Held): void {
    this.#retired.push(this.#retiredOf(had));
  }

  #retiredOf({ table, slots }: Held): Retired {
    const atMs = this.#options.nowMs();
    return { atMs, table, slotCount: slots.length, backends: new Set(slots) };
  }

  /** What is in force, and what nothing leads to any more. */
  #takeUp(): Map<string, Held> {
    const maps = this.#maps;
    const tables = slotsByTable(maps.slots.entries());
    const last = tables.get(NO_TABLE)?.slots ?? [];
    tables.delete(NO_TABLE);
    this.#backends = new BackendNumbers(new FreeNumbers(last[LAST_BACKEND]));
    this.#tables = new FreeNumbers(last[LAST_TABLE]);
    this.#retired = [];
    this.#slotCount = 0;
    this.#nodeAddresses = new Set([...maps.node_addresses.keys()].map(textOf));
    this.#backends.takeUp(maps.backends.entries());
    for (const [table, { slots }] of tables) {
      this.#tables.take(table);
      this.#slotCount += slots.length;
      this.#backends.use(new Set(slots));
    }
    const held = new Map<string, Held>();
    for (const [key, value] of maps.frontends.entries()) {
      const { table, count } = decodeFrontend(value);
      const { slots, found } = tables.get(table) ?? NO_SLOTS;
      this.#tables.take(table);
      tables.delete(table);
      const isWhole = found === count && slots.length === count;
      held.set(textOf(key), { frontend: null, table, slots, isWhole, value });
    }
    for (const [table, { slots }] of tables) this.#retire({ ...NO_FRONTEND, table, slots });
    maps.backends.deleteMany(this.#backends.release(this.#backends.unused).map(encodeBackendKey));
    return held;
  }
}

const NO_SLOTS = { slots: [], found: 0 };
const NO_FRONTEND = { frontend: null, isWhole: false, value: Buffer.alloc(0) };
/** No backend has it. */
const NOBODY = 0;
/** No frontend has it: its slots are the numbers that were given last. */
const NO_TABLE = 0;
const LAST_TABLE = 0;
const LAST_BACKEND = 1;
const LAST_NUMBERS = 2;

function slotsByTable(entries: Iterable<MapEntry>) {
  const tables = new Map<number, { readonly slots: number[]; found: number }>();
  for (const entry of entries) {
    const { table, slot, backend } = decodeSlot(entry);
    let own = tables.get(table);
    if (own === undefined) {
      own = { slots: [], found: 0 };
      tables.set(table, own);
    }
    while (own.slots.length <= slot) own.slots.push(NOBODY);
    own.slots[slot] = backend;
    own.found += 1;
  }
  return tables;
}

function textOf(bytes: Buffer): string {
  return bytes.toString('latin1');
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

function areSame(some: readonly number[], others: readonly number[]): boolean {
  return some.length === others.length && others.every((one, index) => one === some[index]);
}
