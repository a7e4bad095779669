/**
 * The processes of a pod: their cgroup names it (the kubelet makes one for each pod, with the pod's UID in its name),
 * and the kernel tells which veth leads to their network namespace. A process gets into another pod's cgroup or
 * namespace only with privileges over the node, so nothing here is a pod's own word. What needs the host's process
 * ids (`hostPID`); else no process of a pod is seen.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { NetnsIds } from './netns_ids.ts';
import {
  type AskedPod,
  type Hearing,
  Testimonies,
  unheard,
  type Veth,
  type Witness,
} from './witness.ts';

export interface PodProcessesOptions {
  /** "/proc". */
  readonly folder: string;
  readonly openNetnsIds: () => NetnsIds;
}

interface Seen {
  readonly netnsIds: ReadonlySet<number>;
}

/** Processes that are looked at before others have their turn. */
const SLICE = 200;

export class PodProcesses implements Witness {
  readonly #options: PodProcessesOptions;

  constructor(options: PodProcessesOptions) {
    this.#options = options;
  }

  async hear(pods: readonly AskedPod[], veths: readonly Veth[]): Promise<Hearing> {
    const asked = pods.filter(({ podUid }) => podUid !== null);
    if (asked.length === 0) return { testimonies: new Map(), doubts: new Map(), problem: null };
    let seen: ReadonlyMap<string, Seen>;
    try {
      seen = await this.#look(new Set(asked.map(({ podUid }) => podUid as string)));
    } catch (error) {
      return unheard(`processes of pods: ${error instanceof Error ? error.message : error}`);
    }
    return heard(asked, veths, seen);
  }

  /** UID → where its processes are. */
  async #look(wanted: ReadonlySet<string>): Promise<ReadonlyMap<string, Seen>> {
    const { folder, openNetnsIds } = this.#options;
    const found = new Map<string, { readonly netnsIds: Set<number> }>();
    const netns = openNetnsIds();
    try {
      const pids = readdirSync(folder).filter((name) => /^\d+$/.test(name));
      for (const [index, pid] of pids.entries()) {
        if (index % SLICE === SLICE - 1) await nextTurn();
        const process = this.#processOf(pid, wanted, netns);
        if (process === null) continue;
        const known = found.get(process.uid) ?? { netnsIds: new Set<number>() };
        found.set(process.uid, known);
        if (process.netnsId !== null) known.netnsIds.add(process.netnsId);
      }
    } finally {
      netns.close();
    }
    return found;
  }

  /** Null: it is of none of them, or has gone. Read twice, as its number may be another process's in between. */
  #processOf(pid: string, wanted: ReadonlySet<string>, netns: NetnsIds) {
    const uid = podUidOf(this.#read(pid, 'cgroup'));
    if (uid === null || !wanted.has(uid)) return null;
    const born = birthOf(this.#read(pid, 'stat'));
    const netnsId = netns.ofProcess(Number(pid));
    const isSame =
      born !== null &&
      birthOf(this.#read(pid, 'stat')) === born &&
      podUidOf(this.#read(pid, 'cgroup')) === uid;
    return isSame ? { uid, netnsId } : null;
  }

  #read(pid: string, name: string): string {
    try {
      return readFileSync(`${this.#options.folder}/${pid}/${name}`, 'utf8');
    } catch {
      return '';
    }
  }
}

/**
 * Of /proc/PID/cgroup: "0::/kubepods.slice/kubepods-pod1234_..._ab.slice/cri-containerd-....scope", "4:memory:/kubepods/
 * burstable/pod1234-...-ab/...", or, seen from a cgroup namespace, "0::/../../pod1234-.../...". The first name on the
 * way from the root counts: what is below is the container's own. Null: none, or more than one pod.
 */
export function podUidOf(text: string): string | null {
  let found: string | null = null;
  for (const line of text.split('\n')) {
    const path = line.split(':').slice(2).join(':');
    const uid = path
      .split('/')
      .map((part) => POD_FOLDER.exec(part)?.[1])
      .find((one) => one !== undefined)
      ?.replaceAll('_', '-');
    if (uid === undefined) continue;
    if (found !== null && found !== uid) return null;
    found = uid;
  }
  return found;
}

const POD_FOLDER =
  /^(?:[a-z-]+-)?pod([0-9a-f]{32}|[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?$/;

/** Field 22 of /proc/PID/stat: when it began. The name in brackets, field 2, may hold anything. */
function birthOf(stat: string): string | null {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

function heard(
  pods: readonly AskedPod[],
  veths: readonly Veth[],
  seen: ReadonlyMap<string, Seen>,
): Hearing {
  const testimonies = new Testimonies();
  const doubts = new Map<string, string>();
  for (const { name, podUid } of pods) {
    const processes = seen.get(podUid as string);
    if (processes === undefined) continue;
    const own = veths.filter(({ netnsId }) => processes.netnsIds.has(netnsId));
    if (own.length === 0) doubts.set(name, NO_VETH);
    testimonies.add(name, 'its processes', new Set(own.map(({ ifindex }) => ifindex)));
  }
  return { testimonies: testimonies.all, doubts, problem: null };
}

const NO_VETH =
  'no veth leads to the network namespace of its processes (macvlan, ipvlan, SR-IOV, a device of the host?)';
