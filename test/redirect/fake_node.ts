/** A node without a kernel: maps, links, iproute2 and sysctls in memory, and a list of what was done. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RedirectNode, ServicesDoor } from '../../src/cli/redirect/node.ts';
import type { RunCommand } from '../../src/redirect/host/command.ts';
import type { LinkEvents } from '../../src/redirect/host/link_monitor.ts';
import type { Inspection } from '../../src/redirect/inspect.ts';
import type { WaitCounts } from '../../src/redirect/interfaces/interface_waits.ts';
import { PodInterfaces } from '../../src/redirect/interfaces/pod_interfaces.ts';
import { Routes } from '../../src/redirect/interfaces/routes.ts';
import type { Witness } from '../../src/redirect/interfaces/witness.ts';
import type { Datapath, MapEntry, MapName, WritableMap } from '../../src/redirect/kernel/api.ts';
import { MAP_NAMES, PROGRAM_NAMES } from '../../src/redirect/kernel/api.ts';
import { COUNTERS } from '../../src/redirect/layout.ts';
import { GENERATION_MAPS } from '../../src/redirect/plan.ts';
import type { ServicesInspection } from '../../src/redirect/services/inspect_services.ts';
import { SERVICE_COUNTERS } from '../../src/redirect/services/layout.ts';
import type { LostSockets } from '../../src/redirect/services/lost_sockets.ts';
import type { NodeServices } from '../../src/redirect/services/node_services.ts';
import type { ServicesInForce } from '../../src/redirect/services/service_tables.ts';
import { entriesInForce } from '../../src/redirect/table_updater.ts';

export class FakeMap implements WritableMap {
  readonly keyBytes = 0;
  readonly valueBytes = 0;
  readonly maxEntries: number;
  readonly held = new Map<string, Buffer>();
  readonly #beforeWrite: () => void;

  /** `beforeWrite` is called for each entry, and may throw as a process that is killed there. */
  constructor(maxEntries = 100_000, beforeWrite: () => void = () => {}) {
    this.maxEntries = maxEntries;
    this.#beforeWrite = beforeWrite;
  }

  lookup(key: Buffer): Buffer | null {
    return this.held.get(key.toString('hex')) ?? null;
  }

  update(key: Buffer, value: Buffer): void {
    this.#beforeWrite();
    if (!this.held.has(key.toString('hex')) && this.held.size >= this.maxEntries)
      throw new Error('E2BIG');
    this.held.set(key.toString('hex'), Buffer.from(value));
  }

  updateMany(entries: Iterable<MapEntry>): void {
    for (const [key, value] of entries) this.update(key, value);
  }

  delete(key: Buffer): boolean {
    this.#beforeWrite();
    return this.held.delete(key.toString('hex'));
  }

  deleteMany(keys: Iterable<Buffer>): void {
    for (const key of keys) this.delete(key);
  }

  *keys(): Generator<Buffer> {
    for (const key of this.held.keys()) yield Buffer.from(key, 'hex');
  }

  *entries(): Generator<MapEntry> {
    for (const [key, value] of this.held) yield [Buffer.from(key, 'hex'), value];
  }

  count(): number {
    return this.held.size;
  }

  close(): void {}
}

export type FakeMaps = Readonly<Record<MapName, FakeMap>>;

export function fakeMaps(beforeWrite?: () => void): FakeMaps {
  return Object.fromEntries(
    MAP_NAMES.map((name) => [name, new FakeMap(100_000, beforeWrite)]),
  ) as unknown as FakeMaps;
}

interface Rule {
  readonly priority: number;
  readonly [field: string]: unknown;
}

const KERNEL_RULES: readonly Rule[] = [
  { priority: 0, src: 'all', table: 'local' },
  { priority: 32766, src: 'all', table: 'main' },
];

export interface FakeLink {
  readonly index: number;
  readonly ips: readonly string[];
  readonly isUp: boolean;
  readonly master?: string;
}

/** As much of iproute2 as the redirect uses; anything else is an error. */
export class FakeIp {
  readonly rules = { 4: [...KERNEL_RULES], 6: [...KERNEL_RULES] };
  readonly routes = { 4: new Set<string>(), 6: new Set<string>() };
  readonly links = new Map<string, FakeLink>();
  /** Of links that are an end of a veth: the namespace of the other end. */
  readonly netnsIds = new Map<string, number>();
  /** Of the main table, as iproute2 prints them. */
  readonly mainRoutes: { readonly 4: object[]; readonly 6: object[] } = { 4: [], 6: [] };
  readonly calls: string[] = [];
  /** When the links have been read, and who asked has not been answered yet. */
  onRead: () => void = () => {};
  hasIpv6 = true;

  readonly run: RunCommand = async (program, args) => {
    if (program !== 'ip') return { code: 127, stdout: '', stderr: `no ${program}` };
    const words = args.filter((word) => word !== '-j');
    if (!args.includes('-j')) this.calls.push(words.join(' '));
    const answer = this.#answer(words);
    if (words[1] === 'address') this.onRead();
    return answer;
  };

  #answer(words: readonly string[]): { code: number; stdout: string; stderr: string } {
    const ok = (value?: unknown) => ({
      code: 0,
      stdout: value === undefined ? '' : JSON.stringify(value),
      stderr: '',
    });
    const fail = (stderr: string) => ({ code: 2, stdout: '', stderr });
    if (words[0] === '-d') {
      return ok(words[1] === 'address' ? this.#addresses() : this.#details());
    }
    if (words.join(' ') === 'link set lo up') {
      this.links.set('lo', { index: 1, ips: ['127.0.0.1'], isUp: true });
      return ok();
    }
    const family = words[0] === '-6' ? 6 : 4;
    if (family === 6 && !this.hasIpv6) {
      return fail('RTNETLINK answers: Address family not supported by protocol');
    }
    const [object, verb, ...rest] = words.slice(1);
    const text = rest.join(' ');
    if (object === 'rule' && verb === 'show') return ok(this.rules[family]);
    if (object === 'rule' && verb === 'add') return ok(void this.rules[family].push(ruleOf(rest)));
    if (object === 'rule' && verb === 'del') {
      const { priority } = ruleOf(rest);
      this.rules[family] = this.rules[family].filter((rule) => rule.priority !== priority);
      return ok();
    }
    if (object === 'route' && rest[1] === 'main') return ok(this.mainRoutes[family]);
    if (object === 'route' && verb === 'show') {
      if (this.routes[family].size === 0) return fail('Error: FIB table does not exist.');
      return ok([{ type: 'local', dst: 'default', dev: 'lo' }]);
    }
    if (object === 'route' && verb === 'add') return ok(void this.routes[family].add(text));
    if (object === 'route' && verb === 'del') return ok(void this.routes[family].delete(text));
    return fail(`unknown: ${words.join(' ')}`);
  }

  #details(): unknown {
    return [...this.links].map(([ifname, { index: ifindex }]) => {
      const netnsId = this.netnsIds.get(ifname);
      const veth = { link_netnsid: netnsId, linkinfo: { info_kind: 'veth' } };
      return { ifname, ifindex, ...(netnsId === undefined ? {} : veth) };
    });
  }

  #addresses(): unknown {
    return [...this.links].map(([ifname, { index, ips, isUp, master }]) => ({
      ifname,
      master,
      ifindex: index,
      flags: [ifname === 'lo' ? 'LOOPBACK' : 'BROADCAST', ...(isUp ? ['UP'] : [])],
      addr_info: ips.map((local) => ({ family: 'inet', local })),
    }));
  }
}

function ruleOf(words: readonly string[]): Rule {
  const value = (name: string): string | undefined => words[words.indexOf(name) + 1];
  const [fwmark, fwmask] = (value('fwmark') ?? '').split('/');
  return {
    priority: Number(value('priority')),
    src: 'all',
    fwmark,
    fwmask,
    ...(words.includes('iif') ? { iif: value('iif') } : {}),
    ...(words.includes('goto') ? { goto: Number(value('goto')) } : {}),
    ...(words.includes('blackhole') ? { action: 'blackhole' } : {}),
    ...(words.includes('lookup') ? { table: value('lookup') } : {}),
  };
}

/** Services at sockets, as far as the loader sees them. */
export class FakeServices implements ServicesDoor {
  readonly #events: string[];
  /** Null: nothing is pinned. */
  inForce: ServicesInForce | null = null;
  missingHooks: ServicesInspection['missingHooks'] = [];
  lost: LostSockets = { closed: 0, problems: [] };

  constructor(events: string[]) {
    this.#events = events;
  }

  readonly open = (): NodeServices => {
    const isReused = this.inForce !== null;
    this.inForce ??= { frontends: [], nodeAddresses: [] };
    return {
      isReused,
      apply: (wanted) => {
        this.inForce = wanted;
        const frontendCount = wanted.frontends.length;
        this.#events.push(`services ${frontendCount}`);
        return {
          ...{ written: frontendCount, removed: 0, backendCount: 0, left: [] },
          frontendCount,
        };
      },
      sweep: () => {},
      closeLost: async () => this.lost,
      attach: () => {
        this.missingHooks = [];
        this.#events.push('attach services');
      },
      close: () => {},
    };
  };

  readonly inspect = (): ServicesInspection | null => {
    if (this.inForce === null) return null;
    const counters = Object.fromEntries(SERVICE_COUNTERS.map((name) => [name, 1n]));
    return {
      ...{ missingHooks: this.missingHooks, frontends: this.inForce.frontends.length, backends: 0 },
      counters: counters as ServicesInspection['counters'],
    };
  };

  readonly remove = (): boolean => {
    const wasThere = this.inForce !== null;
    this.inForce = null;
    if (wasThere) this.#events.push('services removed');
    return wasThere;
  };
}

const NOBODY: Witness = {
  hear: async () => ({ testimonies: new Map(), doubts: new Map(), silence: null, problem: null }),
};

export class FakeNode {
  readonly dir = mkdtempSync(join(tmpdir(), 'sallyport-redirect-unit-'));
  readonly ip = new FakeIp();
  readonly maps: FakeMaps = fakeMaps();
  readonly attached = new Set<number>();
  readonly events: string[] = [];
  readonly sysctls = new Map([['net.ipv4.tcp_migrate_req', '0']]);
  missing: readonly string[] = [];
  /** Of Cilium's agent. */
  beside: Awaited<ReturnType<RedirectNode['besideCilium']>> = { refusal: null, notes: [] };
  isLocked = false;
  isLookupLost = false;
  /** Who is told of links; null: nobody. */
  links: LinkEvents | null = null;
  /** Who is told of CNI results; null: nobody. */
  onResults: (() => void) | null = null;
  /** Pod → why it has no interface, as CNI results say. */
  denials: ReadonlyMap<string, string> = new Map();
  isSysctlReadOnly = false;
  waits: WaitCounts | null = null;
  /** What is known of the processes of pods: nothing. */
  costly: Witness = NOBODY;
  /** What `status` sees: changed by tests; null: nothing is pinned. */
  inspection: ((found: Inspection) => Inspection) | null = null;
  isRemoved = false;

  constructor() {
    this.ip.links.set('lo', { index: 1, ips: ['127.0.0.1', '::1'], isUp: true });
  }

  write(path: string, text: string): void {
    writeFileSync(join(this.dir, path), text);
  }

  dispose(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }

  get generation(): number {
    return this.maps.settings.lookup(Buffer.alloc(4))?.readUInt32LE(0) ?? 0;
  }

  readonly services = new FakeServices(this.events);

  readonly node: RedirectNode = {
    run: async (program, args) => {
      const result = await this.ip.run(program, args);
      if (!args.includes('-j')) this.events.push(`ip ${args.join(' ')}`);
      return result;
    },
    sysctl: {
      read: (name) => this.sysctls.get(name) ?? null,
      write: (name, value) => {
        if (this.isSysctlReadOnly) return 'EROFS';
        this.sysctls.set(name, value);
        return null;
      },
    },
    timers: {
      every: (_intervalMs, task) => {
        const timer = setInterval(task, 5);
        return () => clearInterval(timer);
      },
      // Soon, but not at once: as time would pass.
      after: (_delayMs, task) => {
        const timer = setTimeout(task, 1);
        return () => clearTimeout(timer);
      },
    },
    besideCilium: async () => this.beside,
    missingFeatures: () => this.missing,
    ensureBpffs: () => ({ kind: 'ready', isMountedNow: false }),
    takeLock: async () =>
      this.isLocked ? { kind: 'taken' } : { kind: 'held', release: async () => {} },
    openDatapath: () => {
      this.isRemoved = false;
      return this.#datapath();
    },
    noteObject: () => {},
    removeDatapath: () => {
      this.isRemoved = true;
      this.attached.clear();
      this.events.push('programs removed');
    },
    inspect: () => (this.inspection === null ? null : this.inspection(this.#inspected())),
    watchLinks: (events) => {
      this.links = events;
      return () => {
        this.links = null;
      };
    },
    watchResults: (_config, onNews) => {
      this.onResults = onNews;
      return () => {
        this.onResults = null;
      };
    },
    podInterfaces: ({ redirect }) =>
      new PodInterfaces({
        run: this.ip.run,
        witnesses: [
          new Routes(this.ip.run),
          {
            hear: async (pods, veths) => {
              const nothing = await NOBODY.hear(pods, veths);
              return { ...nothing, denials: this.denials };
            },
          },
        ],
        costly: this.costly,
        nowMs: () => redirect.settleMs,
      }),
    noteWaits: (_config, counts) => {
      this.waits = counts;
    },
    notedWaits: () => this.waits,
    linksStamp: () => JSON.stringify([...this.ip.links]),
    lostLinks: (_root, interfaces) =>
      this.isRemoved
        ? null
        : {
            interfaces: [...interfaces].filter((ifindex) => !this.attached.has(ifindex)),
            isLookupLost: this.isLookupLost,
          },
    isLocked: () => this.isLocked,
    builtObject: () => 'object-1',
    netns: () => 4026,
    nowNs: () => 60_000_000_000n,
    services: this.services,
  };

  #inspected(): Inspection {
    const { generation } = this;
    const tcx = (hook: string, programId: number) =>
      [...this.attached].map((target) => ({
        name: `tcx_${hook}_${target}`,
        kind: 'tcx' as const,
        target,
        programId,
      }));
    return {
      otherLayouts: [],
      object: 'object-1',
      programs: PROGRAM_NAMES.map((name, index) => ({
        name,
        id: index + 1,
        runCount: 10n,
        runTimeNs: 12_340n,
      })),
      links: [
        ...tcx('ingress', 1),
        ...tcx('egress', 2),
        { name: 'lookup_4026', kind: 'netns', target: 4026, programId: 3 },
      ],
      maps: MAP_NAMES.map((name) => ({
        name,
        entryCount: this.maps[name].held.size,
        maxEntries: this.maps[name].maxEntries,
      })),
      generation,
      flags: this.maps.settings.lookup(Buffer.alloc(4))?.readUInt32LE(4) ?? 0,
      inForce: Object.fromEntries(
        GENERATION_MAPS.map((map) => [map, entriesInForce(this.maps[map], map, generation)]),
      ) as unknown as Inspection['inForce'],
      counters: Object.fromEntries(
        COUNTERS.map((name, index) => [name, BigInt(index)]),
      ) as Inspection['counters'],
      refusals: [],
      listeners: { ip4: 32, ip6: 32, datagrams4: 32, datagrams6: 32 },
    };
  }

  #datapath(): Datapath {
    const settings = this.maps.settings;
    const flipped: WritableMap = Object.assign(Object.create(settings) as FakeMap, {
      update: (key: Buffer, value: Buffer) => {
        settings.update(key, value);
        this.events.push(`generation ${value.readUInt32LE(0)}`);
      },
    });
    return {
      maps: { ...this.maps, settings: flipped },
      mapsFolder: join(this.dir, 'maps'),
      isReused: this.generation > 0,
      attachInterface: (ifindex) => {
        this.attached.add(ifindex);
        this.events.push(`attach ${ifindex}`);
      },
      attachIngress: (ifindex) => void this.events.push(`watch ${ifindex}`),
      detachInterface: (ifindex) => {
        this.events.push(`detach ${ifindex}`);
        return this.attached.delete(ifindex);
      },
      attachedInterfaces: () => [...this.attached],
      attachLookup: () => {
        this.isLookupLost = false;
        this.events.push('attach lookup');
      },
      counters: () => ({}) as ReturnType<Datapath['counters']>,
      refusals: () => [],
      programs: () => [],
      commit: () => void this.events.push('commit'),
      close: () => {},
    };
  }
}
