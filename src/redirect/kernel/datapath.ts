/**
 * The kernel's part of the redirect: loaded, pinned, attached, replaced. `api.ts` says how it is used,
 * `pinned_object.ts` what a restart and another layout do.
 */
import { closeSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { COUNTERS, LAYOUT_VERSION } from '../layout.ts';
import {
  type Datapath,
  type DatapathOptions,
  MAP_NAMES,
  type MapName,
  PROGRAM_NAMES,
  type ProgramName,
  type ProgramStatus,
} from './api.ts';
import { ATTACH_SK_LOOKUP, ATTACH_TCX_EGRESS, ATTACH_TCX_INGRESS, readInfo } from './bpf.ts';
import { removeFolder, setAccess } from './bpffs.ts';
import { readCounters, readRefusals } from './counters.ts';
import { missingFeatures } from './features.ts';
import { PinnedObject } from './pinned_object.ts';

const PROXY_GID_DEFAULT = 1337;
const PROGRAM_INFO_BYTES = 216;
const INGRESS_LINK = 'tcx_ingress_';
const EGRESS_LINK = 'tcx_egress_';

export function openDatapath(options: DatapathOptions): Datapath {
  const missing = missingFeatures();
  if (missing.length > 0) throw new Error(`the redirect cannot run here: ${missing.join('; ')}`);
  return new PinnedDatapath(options);
}

/** Detaches and unpins everything, of every layout. Without programs, packets pass unjudged. */
export function removeDatapath(root: string): void {
  removeFolder(root);
}

class PinnedDatapath implements Datapath {
  readonly #object: PinnedObject<MapName, ProgramName>;

  constructor({ root, objectPath, proxyGid }: DatapathOptions) {
    this.#object = new PinnedObject({
      ...{ root, objectPath, layoutVersion: LAYOUT_VERSION },
      ...{ mapNames: MAP_NAMES, programNames: PROGRAM_NAMES },
    });
    this.#setAccess(proxyGid ?? PROXY_GID_DEFAULT);
  }

  get maps(): Datapath['maps'] {
    return this.#object.maps;
  }

  get mapsFolder(): string {
    return this.#object.mapsFolder;
  }

  get isReused(): boolean {
    return this.#object.isReused;
  }

  attachInterface(ifindex: number): void {
    this.#put(`${EGRESS_LINK}${ifindex}`, 'to_endpoint', ifindex, ATTACH_TCX_EGRESS);
    this.attachIngress(ifindex);
  }

  attachIngress(ifindex: number): void {
    this.#put(`${INGRESS_LINK}${ifindex}`, 'from_interface', ifindex, ATTACH_TCX_INGRESS);
  }

  detachInterface(ifindex: number): boolean {
    // In this order: what comes in is judged as long as what goes out is not.
    const hadEgress = this.#object.removeLink(`${EGRESS_LINK}${ifindex}`);
    return this.#object.removeLink(`${INGRESS_LINK}${ifindex}`) || hadEgress;
  }

  attachedInterfaces(): number[] {
    return this.#object
      .linkNames()
      .filter((name) => name.startsWith(INGRESS_LINK))
      .map((name) => Number(name.slice(INGRESS_LINK.length)))
      .filter((ifindex) => Number.isInteger(ifindex))
      .sort((a, b) => a - b);
  }

  attachLookup(netnsPath: string): void {
    const netns = openSync(netnsPath, 'r');
    try {
      this.#put(`lookup_${statSync(netnsPath).ino}`, 'proxy_lookup', netns, ATTACH_SK_LOOKUP);
    } finally {
      closeSync(netns);
    }
  }

  counters(): ReturnType<Datapath['counters']> {
    return readCounters(this.maps.counters, COUNTERS);
  }

  refusals(): ReturnType<Datapath['refusals']> {
    return readRefusals(this.maps.refusals);
  }

  programs(): ProgramStatus[] {
    return PROGRAM_NAMES.map((name) => {
      const info = readInfo(this.#object.program(name), PROGRAM_INFO_BYTES);
      return {
        name,
        id: info.readUInt32LE(4),
        runTimeNs: info.readBigUInt64LE(192),
        runCount: info.readBigUInt64LE(200),
      };
    });
  }

  commit(): void {
    this.#object.commit();
  }

  close(): void {
    this.#object.close();
  }

  #put(name: string, program: ProgramName, target: number, attachType: number): void {
    this.#object.putLink({ name, program, target, attachType });
  }

  /** What the proxy's group may do, and nobody else: read what was recorded, and put sockets in. */
  #setAccess(gid: number): void {
    for (const name of ['records', 'spare_records', 'datagrams', 'refusals'])
      setAccess(join(this.mapsFolder, name), gid, 0o640);
    setAccess(join(this.mapsFolder, 'listeners'), gid, 0o660);
  }
}
