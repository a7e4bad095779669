/**
 * A node in a network namespace with the kernel programs loaded, and tables written by hand: what the
 * programs do is asked of them packet by packet (BPF_PROG_TEST_RUN), or of real connections.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { parsePrefix } from '../../../src/model/address.ts';
import type { Identity, Port } from '../../../src/model/identity.ts';
import type { Datapath } from '../../../src/redirect/kernel/api.ts';
import { openPin, runProgram } from '../../../src/redirect/kernel/bpf.ts';
import { openDatapath, removeDatapath } from '../../../src/redirect/kernel/datapath.ts';
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
  type KernelVerdict,
  LAYOUT_VERSION,
  type PortState,
  withNextEpoch,
} from '../../../src/redirect/layout.ts';
import { Netns } from '../root/netns.ts';

export const OBJECT = fileURLToPath(
  new URL('../../../src/redirect/bpf/build/sallyport.bpf.o', import.meta.url),
);

export const PASS = 0;
export const DROP = 2;
/** Sent to an interface again: as an RST to the same, or in by it. */
export const RESET = 7;
export const REDIRECTED = 7;

const CLONE_NEWNET = 0x4000_0000;
const SK_BUFF_BYTES = 192;
/** Connections that are older than the programs are taken over, unless a test says otherwise. */
const ADOPTS = 1n << 62n;
const SETTINGS_KEY = Buffer.alloc(4);
/** host, remote-node, kube-apiserver */
const NODES: readonly number[] = [1, 6, 7];

const setns = koffi.load(null).func('int setns(int fd, int type)');

export interface Rule {
  readonly protocol: number;
  readonly port?: number;
  readonly bits?: number;
  readonly verdict: KernelVerdict;
  readonly remotes?: Readonly<Record<number, KernelVerdict>>;
}

/** What is behind an address of a Service. */
export interface Behind {
  /** Null: every address of the node, of that family. */
  readonly ip: string | null;
  readonly family?: 4 | 6;
  readonly port: number;
  readonly protocol: number;
  readonly pairs: readonly (readonly [identity: number, port: number])[];
  readonly isAskedAsDialled?: boolean;
  readonly isHere?: boolean;
}

export interface Tables {
  readonly services?: readonly Behind[];
  /** ifindex → endpoint, or null for an uplink. */
  readonly interfaces: ReadonlyMap<number, number | null>;
  /** Those that are none of ours; absent: also what is forwarded from interfaces that nobody knows is judged. */
  readonly others?: readonly number[];
  /** ifindex → whose port it is; absent: none's. */
  readonly ports?: ReadonlyMap<number, PortState>;
  /** Default: for ever. */
  readonly adoptsUntilNs?: bigint;
  /** `isNode`: by default that of the numbers that say so. */
  readonly addresses: readonly (readonly [
    prefix: string,
    identity: number,
    endpoint: number,
    isNode?: boolean,
  ])[];
  /** endpoint → identity and rules of each direction. */
  readonly endpoints: ReadonlyMap<
    number,
    {
      readonly identity: number;
      readonly egress: readonly Rule[];
      readonly ingress: readonly Rule[];
      readonly ips?: readonly string[];
    }
  >;
}

export interface Answer {
  readonly result: number;
  readonly mark: number;
  readonly packet: Buffer;
}

export class Lab {
  readonly node: Netns;
  readonly datapath: Datapath;
  readonly root: string;
  readonly #folder: string;
  readonly #programs = new Map<string, number>();
  #generation = 0;
  #serial = 0;
  #slots = 0;

  constructor(label: string) {
    this.node = new Netns(`spA-${label}`);
    this.#folder = mkdtempSync(join(tmpdir(), 'spA-'));
    const mount = join(this.#folder, 'bpf');
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'bpf', 'bpf', mount]);
    execFileSync('chmod', ['755', this.#folder, mount]);
    this.root = join(mount, 'sallyport');
    this.datapath = this.inside(() => openDatapath({ root: this.root, objectPath: OBJECT }));
  }

  /** A veth pair whose other end is in `peer`; the ifindex of the node's end. */
  addInterface(name: string, peer: Netns, peerName = 'eth0'): number {
    this.node.ip(
      `link add ${name} type veth peer name ${peerName} netns ${peer.name}`,
      `link set ${name} up`,
    );
    peer.ip(`link set ${peerName} up`);
    return this.ifindex(name);
  }

  ifindex(name: string): number {
    return JSON.parse(this.node.run(['ip', '-j', 'link', 'show', name]))[0].ifindex;
  }

  inside<T>(task: () => T): T {
    return insideOf(this.node.path, task);
  }

  /** Writes everything under the next generation and puts it in force. */
  apply(tables: Tables, host: 'always' | 'judged' | 'redirected' = 'always'): number {
    const generation = ++this.#generation;
    const { maps } = this.datapath;
    for (const [ifindex, endpoint] of tables.interfaces) {
      const port = tables.ports?.get(ifindex) ?? null;
      const state = { adoptsUntilNs: tables.adoptsUntilNs ?? ADOPTS, port };
      const value = encodeInterface(endpoint, state);
      maps.interfaces.update(encodeInterfaceKey(generation, ifindex), value);
    }
    for (const ifindex of tables.others ?? []) {
      maps.interfaces.update(encodeInterfaceKey(generation, ifindex), encodeOtherInterface());
    }
    maps.addresses.updateMany(
      tables.addresses.map(([text, identity, endpoint, isNode = NODES.includes(identity)]) => {
        const side = { identity: identity as Identity, check: BigInt(identity + 7), endpoint };
        return [encodeAddressKey(generation, prefixOf(text)), encodeAddress({ ...side, isNode })];
      }),
    );
    for (const [endpoint, { identity, egress, ingress, ips = [] }] of tables.endpoints) {
      maps.endpoints.update(
        encodeEndpointKey(generation, endpoint),
        encodeEndpoint({
          identity: identity as Identity,
          check: BigInt(identity + 7),
          egressPolicy: 2 * endpoint,
          ingressPolicy: 2 * endpoint + 1,
          isAttached: [...tables.interfaces.values()].includes(endpoint),
          ips,
        }),
      );
      this.#writePolicy(generation, 2 * endpoint, egress);
      this.#writePolicy(generation, 2 * endpoint + 1, ingress);
    }
    this.putServices(tables.services ?? [], generation);
    const settings = {
      hasServices: tables.services !== undefined,
      generation,
      isHostJudged: host !== 'always',
      isHostRedirected: host === 'redirected',
      isGuarded: tables.others !== undefined,
    };
    maps.settings.update(SETTINGS_KEY, encodeSettings(settings));
    return generation;
  }

  putServices(services: readonly Behind[], generation = this.#generation): void {
    const { behind } = this.datapath.maps;
    for (const one of services) {
      const { ip, port, protocol, pairs, isAskedAsDialled = false, isHere = false } = one;
      const family = one.family ?? (ip?.includes(':') === true ? 6 : 4);
      const address = ip === null ? null : prefixOf(ip).address;
      const place = { address, family, port: port as Port, protocol };
      const own = pairs.map(([identity, to]) => ({
        ...{ identity: identity as Identity, port: to as Port },
      }));
      this.#serial += 1;
      const value = encodeBehind(this.#serial, { pairs: own, isAskedAsDialled, isHere });
      behind.update(encodeBehindKey(generation, place), value);
    }
  }

  /** In the tables in force. */
  changeServices(services: readonly Behind[]): void {
    this.putServices(services);
    const { settings } = this.datapath.maps;
    settings.update(SETTINGS_KEY, withNextEpoch(settings.lookup(SETTINGS_KEY) as Buffer));
  }

  /** In force, unless it was set to another. */
  get generation(): number {
    return this.#generation;
  }

  setGeneration(generation: number): void {
    const value = encodeSettings({ generation, isHostJudged: false });
    this.datapath.maps.settings.update(SETTINGS_KEY, value);
  }

  /** What the program does with the packet, come by `ifindex`. */
  send(
    program: 'from_interface' | 'to_endpoint',
    packet: Buffer,
    skb: { readonly ifindex: number; readonly mark?: number; readonly ingressIfindex?: number },
  ): Answer {
    const context = Buffer.alloc(SK_BUFF_BYTES);
    context.writeUInt32LE(skb.mark ?? 0, 8);
    context.writeUInt32LE(skb.ingressIfindex ?? 0, 36);
    context.writeUInt32LE(skb.ifindex, 40);
    const answer = this.inside(() => runProgram(this.#programFd(program), { packet, context }));
    return {
      result: answer.result,
      mark: answer.context.readUInt32LE(8),
      packet: answer.packet,
    };
  }

  dispose(): void {
    for (const fd of this.#programs.values()) closeSync(fd);
    this.datapath.close();
    removeDatapath(this.root);
    this.node.dispose();
    execFileSync('umount', [join(this.#folder, 'bpf')]);
    rmSync(this.#folder, { recursive: true });
  }

  #programFd(name: string): number {
    const known = this.#programs.get(name);
    if (known !== undefined) return known;
    const fd = openPin(join(this.root, `v${LAYOUT_VERSION}`, 'progs', name));
    this.#programs.set(name, fd);
    return fd;
  }

  #writePolicy(generation: number, policy: number, rules: readonly Rule[]): void {
    const { ports, verdicts } = this.datapath.maps;
    for (const { protocol, port = 0, bits = 16, verdict, remotes = {} } of rules) {
      const slot = ++this.#slots;
      const range = { protocol, port, bits: port === 0 ? 0 : bits };
      ports.update(encodePortKey(generation, policy, range), encodePort(slot, verdict));
      for (const [identity, own] of Object.entries(remotes))
        verdicts.update(
          encodeVerdictKey(generation, slot, Number(identity) as Identity),
          encodeVerdict(own),
        );
    }
  }
}

export function insideOf<T>(netnsPath: string, task: () => T): T {
  const own = openSync('/proc/thread-self/ns/net', 'r');
  const other = openSync(netnsPath, 'r');
  try {
    if (setns(other, CLONE_NEWNET) !== 0) throw new Error(`setns: errno ${koffi.errno()}`);
    try {
      return task();
    } finally {
      // To go on in the wrong namespace would be worse than to end.
      if (setns(own, CLONE_NEWNET) !== 0) process.abort();
    }
  } finally {
    closeSync(other);
    closeSync(own);
  }
}

function prefixOf(text: string): NonNullable<ReturnType<typeof parsePrefix>> {
  const prefix = parsePrefix(text, { allowBare: true, allowHostBits: false });
  if (prefix === null) throw new Error(`"${text}" is no prefix`);
  return prefix;
}
