/**
 * The kernel's part of the redirect: loaded, pinned, attached, replaced. `api.ts` says how it is used.
 *
 * A restart with the same layout takes up the maps with what is in them and puts the new programs into the
 * links, one atomic replacement each. Another layout begins in a folder of its own beside the old, whose
 * links go on judging with the old maps until they are given the new programs; `commit` ends the old.
 */
import { closeSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LAYOUT_VERSION } from '../layout.ts';
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
import {
  isOnBpffs,
  listFolder,
  makeFolder,
  removeFolder,
  removePin,
  replacePin,
  setAccess,
} from './bpffs.ts';
import { readCounters, readRefusals } from './counters.ts';
import { missingFeatures } from './features.ts';
import { KernelMap } from './kernel_map.ts';
import { type LoadedObject, loadObject } from './libbpf.ts';
import { type LinkFolders, putLink } from './links.ts';
import { checkObject } from './manifest.ts';

const PROXY_GID_DEFAULT = 1337;
const PROGRAM_INFO_BYTES = 216;
const FOLDER = /^v(\d+)$/;
const INGRESS_LINK = 'tcx_ingress_';
const EGRESS_LINK = 'tcx_egress_';

export function openDatapath(options: DatapathOptions): Datapath {
  const missing = missingFeatures();
  if (missing.length > 0) throw new Error(`the redirect cannot run here: ${missing.join('; ')}`);
  checkObject(options.objectPath);
  if (!isOnBpffs(options.root))
    throw new Error(`${options.root} is not on a bpffs (mount -t bpf bpf <folder>)`);
  return new PinnedDatapath(options);
}

/** Detaches and unpins everything, of every layout. Without programs, packets pass unjudged. */
export function removeDatapath(root: string): void {
  removeFolder(root);
}

class PinnedDatapath implements Datapath {
  readonly maps: Readonly<Record<MapName, KernelMap>>;
  readonly mapsFolder: string;
  readonly isReused: boolean;
  readonly #root: string;
  readonly #folder: string;
  readonly #object: LoadedObject;

  constructor(options: DatapathOptions) {
    this.#root = options.root;
    this.#folder = join(options.root, `v${LAYOUT_VERSION}`);
    this.mapsFolder = join(this.#folder, 'maps');
    makeFolder(options.root, 0o711);
    makeFolder(this.#folder, 0o711);
    makeFolder(this.mapsFolder, 0o711);
    makeFolder(join(this.#folder, 'progs'), 0o700);
    makeFolder(this.#links, 0o700);
    this.isReused = listFolder(this.mapsFolder).length > 0;
    this.#object = loadObject({
      path: options.objectPath,
      mapPins: new Map(MAP_NAMES.map((name) => [name, join(this.mapsFolder, name)])),
      programs: PROGRAM_NAMES,
    });
    this.maps = this.#openMaps();
    this.#setAccess(options.proxyGid ?? PROXY_GID_DEFAULT);
    for (const name of PROGRAM_NAMES)
      replacePin(this.#program(name), join(this.#folder, 'progs', name));
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
    const hadEgress = removePin(join(this.#links, `${EGRESS_LINK}${ifindex}`));
    return removePin(join(this.#links, `${INGRESS_LINK}${ifindex}`)) || hadEgress;
  }

  attachedInterfaces(): number[] {
    return listFolder(this.#links)
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
    return readCounters(this.maps.counters);
  }

  refusals(): ReturnType<Datapath['refusals']> {
    return readRefusals(this.maps.refusals);
  }

  programs(): ProgramStatus[] {
    return PROGRAM_NAMES.map((name) => {
      const info = readInfo(this.#program(name), PROGRAM_INFO_BYTES);
      return {
        name,
        id: info.readUInt32LE(4),
        runTimeNs: info.readBigUInt64LE(192),
        runCount: info.readBigUInt64LE(200),
      };
    });
  }

  commit(): void {
    for (const folder of this.#otherLayouts()) removeFolder(join(this.#root, folder));
  }

  close(): void {
    for (const name of MAP_NAMES) this.maps[name].close();
    this.#object.close();
  }

  get #links(): string {
    return join(this.#folder, 'links');
  }

  #otherLayouts(): string[] {
    const own = `v${LAYOUT_VERSION}`;
    return listFolder(this.#root).filter((name) => FOLDER.test(name) && name !== own);
  }

  #put(name: string, program: ProgramName, target: number, attachType: number): void {
    const folders: LinkFolders = {
      own: this.#links,
      older: this.#otherLayouts().map((folder) => join(this.#root, folder, 'links')),
    };
    putLink(folders, { name, programFd: this.#program(program), target, attachType });
  }

  #program(name: ProgramName): number {
    const fd = this.#object.programFds.get(name);
    if (fd === undefined) throw new Error(`the program ${name} is not loaded`);
    return fd;
  }

  /** Descriptors of our own, so that closing a map does not close libbpf's. */
  #openMaps(): Record<MapName, KernelMap> {
    const opened = MAP_NAMES.map((name) => [name, KernelMap.open(join(this.mapsFolder, name))]);
    return Object.fromEntries(opened) as Record<MapName, KernelMap>;
  }

  /** What the proxy's group may do, and nobody else: read what was recorded, and put sockets in. */
  #setAccess(gid: number): void {
    for (const name of MAP_NAMES) setAccess(join(this.mapsFolder, name), 0, 0o600);
    for (const name of ['records', 'spare_records', 'refusals'])
      setAccess(join(this.mapsFolder, name), gid, 0o640);
    setAccess(join(this.mapsFolder, 'listeners'), gid, 0o660);
  }
}
