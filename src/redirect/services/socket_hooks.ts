/**
 * The hooks of Services on a cgroup, and their maps: loaded, pinned, attached, replaced. Whatever runs below that
 * cgroup is translated at its sockets as the tables say; nothing else is touched.
 *
 *     <root>/services/v<SERVICES_LAYOUT_VERSION>/{maps,progs,links}/NAME; links: <program>_<inode of the cgroup>
 */
import { closeSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { removeFolder, setAccess } from '../kernel/bpffs.ts';
import type { KernelMap } from '../kernel/kernel_map.ts';
import { PinnedObject } from '../kernel/pinned_object.ts';
import {
  encodeServiceSettings,
  SERVICE_MAPS,
  SERVICES_LAYOUT_VERSION,
  type ServiceMapName,
} from './layout.ts';
import { netnsCookie } from './netns_cookie.ts';

/** linux/bpf.h: enum bpf_attach_type. */
export const HOOKS = {
  connect4: 10,
  connect6: 11,
  sendmsg4: 14,
  sendmsg6: 15,
  recvmsg4: 19,
  recvmsg6: 20,
  getpeername4: 29,
  getpeername6: 30,
} as const;

export type HookName = keyof typeof HOOKS;

export const HOOK_NAMES = Object.keys(HOOKS) as readonly HookName[];

export interface SocketHooksOptions {
  /** `redirect.root`: pins lie in a folder of it. */
  readonly root: string;
  readonly objectPath: string;
  /** `redirect.group`: it may read what is counted, for its metrics, and nothing else. */
  readonly proxyGid: number;
}

export class SocketHooks {
  readonly #object: PinnedObject<ServiceMapName, HookName>;

  /** Throws when the kernel does not take it. Nothing is translated by it before `attach`. */
  constructor({ root, objectPath, proxyGid }: SocketHooksOptions) {
    this.#object = new PinnedObject({
      ...{ root: hooksFolder(root), objectPath, layoutVersion: SERVICES_LAYOUT_VERSION },
      ...{ mapNames: SERVICE_MAPS, programNames: HOOK_NAMES },
    });
    setAccess(join(this.#object.mapsFolder, 'counters'), proxyGid, 0o640);
    this.maps.settings.update(Buffer.alloc(4), encodeServiceSettings(netnsCookie()));
  }

  get maps(): Readonly<Record<ServiceMapName, KernelMap>> {
    return this.#object.maps;
  }

  /** True: another process had made them, and what is in them is in force. */
  get isReused(): boolean {
    return this.#object.isReused;
  }

  /**
   * To this cgroup, and to no other any more. What receives comes first: whom a socket dialled is told rightly from the
   * first one on that is translated.
   */
  attach(cgroup: string): void {
    const inode = statSync(cgroup).ino;
    const target = openSync(cgroup, 'r');
    try {
      for (const program of [...HOOK_NAMES].reverse()) {
        const attachType = HOOKS[program];
        this.#object.putLink({ name: linkName(program, inode), program, target, attachType });
      }
    } finally {
      closeSync(target);
    }
    const own = HOOK_NAMES.map((program) => linkName(program, inode));
    for (const name of this.#object.linkNames()) {
      if (!own.includes(name)) this.#object.removeLink(name);
    }
    this.#object.commit();
  }

  /** What is pinned and attached works on. */
  close(): void {
    this.#object.close();
  }
}

/** False: there were none. From then on nothing is translated. */
export function removeSocketHooks(root: string): boolean {
  return removeFolder(hooksFolder(root));
}

export function linkName(program: HookName, cgroupInode: number): string {
  return `${program}_${cgroupInode}`;
}

export function hooksFolder(root: string): string {
  return join(root, 'services');
}
