/**
 * Network namespaces that can be seen from here: those that a runtime or `ip netns` has given a name, and those of
 * processes. Whoever enters one needs CAP_SYS_ADMIN, and is there for the length of one call.
 */
import { closeSync, openSync, readdirSync, statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import koffi from 'koffi';
import { KernelError } from '../kernel/kernel_error.ts';

export interface NamespaceFolders {
  /** Of names: containerd, CRI-O and `ip netns` have theirs in /run/netns, Docker has another one. */
  readonly named: readonly string[];
  /** "/proc". */
  readonly processes: string;
}

export const NAMESPACE_FOLDERS: NamespaceFolders = {
  named: ['/run/netns', '/run/docker/netns'],
  processes: '/proc',
};

const OWN_NAMESPACE = '/proc/thread-self/ns/net';

const CLONE_NEWNET = 0x4000_0000;
/** Processes that are looked at before others have their turn. */
const SLICE = 200;

const setns = koffi.load('libc.so.6').func('int setns(int fd, int type)');

/** A path for each, without our own. */
export async function otherNamespaces({
  named,
  processes,
}: NamespaceFolders): Promise<readonly string[]> {
  const own = statSync(OWN_NAMESPACE);
  const found = new Map<number, string>();
  const add = (path: string): void => {
    const seen = statSync(path, { throwIfNoEntry: false });
    // On another device it is a file whose mount did not come to us.
    if (seen === undefined || seen.dev !== own.dev || seen.ino === own.ino) return;
    if (!found.has(seen.ino)) found.set(seen.ino, path);
  };
  for (const folder of named)
    for (const name of namesIn(folder)) tried(() => add(`${folder}/${name}`));
  const pids = namesIn(processes).filter((name) => /^\d+$/.test(name));
  for (const [index, pid] of pids.entries()) {
    if (index % SLICE === SLICE - 1) await nextTurn();
    tried(() => add(`${processes}/${pid}/ns/net`));
  }
  return [...found.values()];
}

/** Runs `task`, which waits for nothing, in that namespace. Throws a KernelError when it cannot be entered. */
export function insideNamespace<T>(path: string, task: () => T): T {
  const own = openSync(OWN_NAMESPACE, 'r');
  try {
    const other = openSync(path, 'r');
    try {
      if (setns(other, CLONE_NEWNET) !== 0)
        throw new KernelError('setns', koffi.errno(), 'CAP_SYS_ADMIN');
    } finally {
      closeSync(other);
    }
    try {
      return task();
    } finally {
      // To go on in the wrong namespace would be worse than to end.
      if (setns(own, CLONE_NEWNET) !== 0) process.abort();
    }
  } finally {
    closeSync(own);
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** What has gone meanwhile, or is not for us, is not seen. */
function tried(task: () => void): void {
  try {
    task();
  } catch {
    // Nothing is added.
  }
}
