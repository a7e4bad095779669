/** What the kernel's programs do with the maps: longest-prefix match and hash lookups over encoded entries. */
import { parseIp } from '../../src/model/address.ts';
import type { Identity } from '../../src/model/identity.ts';
import { RESERVED_IDENTITIES } from '../../src/model/identity.ts';
import type { PolicySnapshot } from '../../src/policy/compiled/snapshot.ts';
import { type KernelTableOptions, kernelTable } from '../../src/policy/kernel/kernel_table.ts';
import type { MapEntry, ReadableMap } from '../../src/redirect/kernel/api.ts';
import { IP_PROTOCOLS } from '../../src/redirect/layout.ts';
import {
  entriesOf,
  GENERATION_MAPS,
  type GenerationMap,
  type PlanInput,
  planOf,
  type TablePlan,
} from '../../src/redirect/plan.ts';

const VERDICTS = ['deny', 'allow', 'redirect'] as const;

export type ModelVerdict = (typeof VERDICTS)[number] | 'nothing found';

export function planInputOf(
  snapshot: PolicySnapshot,
  options: KernelTableOptions = { isDnsAllowed: false },
): PlanInput {
  const table = kernelTable(snapshot, options);
  return {
    ...table,
    prefixes: snapshot.node.prefixes,
    labelsOf: (identity) => snapshot.labels.labelsOf(identity),
    // A plan numbers endpoints by their interfaces: here as the table does.
    interfaces: new Map(table.endpoints.map((one) => [one.interface ?? '', one.endpointId])),
    ports: new Set(),
    bare: new Set(),
    masters: new Map(),
    bridges: new Set(),
    linkAddresses: new Map(),
    otherBridges: [],
    isGuarded: false,
    claims: [],
    uplinks: [],
    hostAddresses: [],
    isHostJudged: false,
    behind: [],
  };
}

type ModelMaps = Readonly<Record<GenerationMap, readonly MapEntry[]>>;

function mapsOf(entries: (map: GenerationMap) => readonly MapEntry[]): ModelMaps {
  return {
    verdicts: entries('verdicts'),
    ports: entries('ports'),
    endpoints: entries('endpoints'),
    addresses: entries('addresses'),
    behind: entries('behind'),
    interfaces: entries('interfaces'),
  };
}

export class KernelModel {
  readonly #maps: ModelMaps;
  readonly #byKey = new Map<string, Buffer>();
  readonly #generation: number;

  constructor(maps: ModelMaps, generation: number) {
    this.#generation = generation;
    this.#maps = maps;
    for (const map of GENERATION_MAPS) {
      for (const [key, value] of this.#maps[map]) this.#byKey.set(keyText(map, key), value);
    }
  }

  static of(plan: TablePlan, generation = 7): KernelModel {
    return new KernelModel(
      mapsOf((map) => [...entriesOf(plan, map, generation)]),
      generation,
    );
  }

  /** What the maps themselves hold. */
  static in(
    maps: Readonly<Record<GenerationMap, Pick<ReadableMap, 'entries'>>>,
    generation: number,
  ): KernelModel {
    return new KernelModel(
      mapsOf((map) => [...maps[map].entries()]),
      generation,
    );
  }

  /** The endpoint that an interface belongs to; null for an uplink. */
  endpointAt(ifindex: number): number | null | undefined {
    const value = this.#hash('interfaces', words(this.#generation, ifindex));
    if (value === null) return undefined;
    return value.readUInt32LE(0) === 2 ? null : value.readUInt32LE(4);
  }

  side(ip: string): {
    readonly identity: number;
    readonly check: bigint;
    readonly endpoint: number;
  } {
    const address = parseIp(ip);
    if (address === null) throw new Error(ip);
    const bits = Buffer.alloc(16);
    bits.set(address.bytes);
    const data = Buffer.concat([words(this.#generation, address.family), bits]);
    const value = this.#longest('addresses', data);
    if (value === null) return { identity: RESERVED_IDENTITIES.world, check: 0n, endpoint: 0 };
    return {
      identity: value.readUInt32LE(0),
      endpoint: value.readUIntLE(4, 3),
      check: value.readBigUInt64LE(8),
    };
  }

  policyOf(endpoint: number, direction: 'egress' | 'ingress'): number {
    const value = this.#hash('endpoints', words(this.#generation, endpoint));
    return value?.readUInt32LE(direction === 'egress' ? 4 : 16) ?? 0;
  }

  /** `protocol` is an IP protocol number, `port` what stands in a packet. */
  verdict(
    policy: number,
    packet: { readonly protocol: number; readonly port: number; readonly remote: Identity },
  ): ModelVerdict {
    const area = this.#area(policy, packet.protocol, packet.port) ?? this.#area(policy, 0, 0);
    if (area === null) return 'nothing found';
    const key = words(this.#generation, area.readUInt32LE(0), packet.remote);
    const own = this.#hash('verdicts', key);
    const verdict = own === null ? area.readUInt32LE(4) : own.readUInt32LE(0);
    return VERDICTS[verdict] ?? 'nothing found';
  }

  #area(policy: number, protocol: number, port: number): Buffer | null {
    const data = Buffer.alloc(12);
    data.writeUInt32LE(this.#generation, 0);
    data.writeUInt32LE(policy, 4);
    data.writeUInt16BE(protocol, 8);
    data.writeUInt16BE(port, 10);
    return this.#longest('ports', data);
  }

  #hash(map: GenerationMap, key: Buffer): Buffer | null {
    return this.#byKey.get(keyText(map, key)) ?? null;
  }

  #longest(map: GenerationMap, data: Buffer): Buffer | null {
    let best: Buffer | null = null;
    let bestLength = -1;
    for (const [key, value] of this.#maps[map]) {
      const length = key.readUInt32LE(0);
      if (length <= bestLength || !sharesBits(key.subarray(4), data, length)) continue;
      best = value;
      bestLength = length;
    }
    return best;
  }
}

function keyText(map: GenerationMap, key: Buffer): string {
  return `${map} ${key.toString('latin1')}`;
}

export function modelOf(snapshot: PolicySnapshot, options?: KernelTableOptions): KernelModel {
  return KernelModel.of(planOf(planInputOf(snapshot, options)));
}

export const TCP = IP_PROTOCOLS.TCP;

function sharesBits(a: Buffer, b: Buffer, bits: number): boolean {
  for (let bit = 0; bit < bits; bit++) {
    const mask = 0x80 >> (bit & 7);
    if (((a[bit >> 3] ?? 0) & mask) !== ((b[bit >> 3] ?? 0) & mask)) return false;
  }
  return true;
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, 4 * index);
  return bytes;
}
