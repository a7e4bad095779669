/**
 * A compiled object in the kernel: loaded, its maps and programs pinned, its links made or taken over.
 *
 * A restart with the same layout takes up the maps with what is in them and puts the new programs into the
 * links, one atomic replacement each. Another layout begins in a folder of its own beside the old, whose
 * links go on with the old maps until they are given the new programs; `commit` ends the old.
 *
 *     <root>/v<layout>/{maps,progs,links}/NAME
 */
import { join } from 'node:path';
import {
  isOnBpffs,
  listFolder,
  makeFolder,
  removeFolder,
  removePin,
  replacePin,
  setAccess,
} from './bpffs.ts';
import { KernelMap } from './kernel_map.ts';
import { type LoadedObject, loadObject } from './libbpf.ts';
import { putLink } from './links.ts';
import { checkObject } from './manifest.ts';

export interface PinnedObjectOptions<M extends string, P extends string> {
  /** A folder on a bpffs, for this object alone. */
  readonly root: string;
  /** Its manifest lies beside it as `<object>.json`. */
  readonly objectPath: string;
  readonly layoutVersion: number;
  readonly mapNames: readonly M[];
  readonly programNames: readonly P[];
}

export interface WantedLink<P extends string> {
  readonly name: string;
  readonly program: P;
  /** An ifindex, or the descriptor of a network namespace or of a cgroup. */
  readonly target: number;
  readonly attachType: number;
}

export class PinnedObject<M extends string, P extends string> {
  readonly maps: Readonly<Record<M, KernelMap>>;
  readonly mapsFolder: string;
  /** True: the maps were there already, with what was in them. */
  readonly isReused: boolean;
  readonly #options: PinnedObjectOptions<M, P>;
  readonly #folder: string;
  readonly #object: LoadedObject;

  constructor(options: PinnedObjectOptions<M, P>) {
    const { root, objectPath, layoutVersion, mapNames, programNames } = options;
    checkObject(objectPath, layoutVersion);
    if (!isOnBpffs(root)) throw new Error(`${root} is not on a bpffs (mount -t bpf bpf <folder>)`);
    this.#options = options;
    this.#folder = join(root, `v${layoutVersion}`);
    this.mapsFolder = join(this.#folder, 'maps');
    for (const folder of [root, this.#folder, this.mapsFolder]) makeFolder(folder, 0o711);
    for (const folder of [this.#programs, this.#links]) makeFolder(folder, 0o700);
    this.isReused = listFolder(this.mapsFolder).length > 0;
    this.#object = loadObject({
      path: objectPath,
      mapPins: new Map(mapNames.map((name) => [name, join(this.mapsFolder, name)])),
      programs: programNames,
    });
    // Descriptors of our own, so that closing a map does not close libbpf's.
    this.maps = Object.fromEntries(
      mapNames.map((name) => [name, KernelMap.open(join(this.mapsFolder, name))]),
    ) as Record<M, KernelMap>;
    for (const name of mapNames) setAccess(join(this.mapsFolder, name), 0, 0o600);
    for (const name of programNames) replacePin(this.program(name), join(this.#programs, name));
  }

  /** Of those that are pinned, also by an earlier process. */
  linkNames(): string[] {
    return listFolder(this.#links);
  }

  putLink({ program, ...link }: WantedLink<P>): void {
    const { root } = this.#options;
    const older = this.#otherLayouts().map((folder) => join(root, folder, 'links'));
    putLink({ own: this.#links, older }, { ...link, programFd: this.program(program) });
  }

  /** False: there was none. */
  removeLink(name: string): boolean {
    return removePin(join(this.#links, name));
  }

  /** Removes pins of other layouts. Call it after everything is attached to this one. */
  commit(): void {
    for (const folder of this.#otherLayouts()) removeFolder(join(this.#options.root, folder));
  }

  /** Closes our descriptors; what is pinned and attached works on. */
  close(): void {
    for (const name of this.#options.mapNames) this.maps[name].close();
    this.#object.close();
  }

  program(name: P): number {
    const fd = this.#object.programFds.get(name);
    if (fd === undefined) throw new Error(`the program ${name} is not loaded`);
    return fd;
  }

  get #programs(): string {
    return join(this.#folder, 'progs');
  }

  get #links(): string {
    return join(this.#folder, 'links');
  }

  #otherLayouts(): string[] {
    const { root, layoutVersion } = this.#options;
    const own = `v${layoutVersion}`;
    return listFolder(root).filter((name) => LAYOUT_FOLDER.test(name) && name !== own);
  }
}

/** Pins of one layout. */
export const LAYOUT_FOLDER = /^v(\d+)$/;
