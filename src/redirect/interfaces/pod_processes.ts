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

/** UID → numbers of the network namespaces of its processes. */
type Places = ReadonlyMap<string, ReadonlySet<number>>;

/** Processes that are looked at before others have their turn. */
const SLICE = 200;

export class PodProcesses implements Witness {
  readonly #options: PodProcessesOptions;

  constructor(options: PodProcessesOptions) {
    this.#options = options;
  }

  async hear(pods: readonly AskedPod[], veths: readonly Veth[]): Promise<Hearing> {
    const asked = pods.filter(({ podUid }) => podUid !== null);
    try {
      return heard(asked, veths, await this.#look(new Set(asked.map(({ podUid }) => podUid))));
    } catch (error) {
      return unheard(`processes of pods: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** UID → namespaces of its processes. Of pods that nobody asks for, of one process. */
  async #look(asked: ReadonlySet<string | null>): Promise<Places> {
    const { folder, openNetnsIds } = this.#options;
    const places = new Map<string, Set<number>>();
    const netns = openNetnsIds();
    try {
      const pids = readdirSync(folder).filter((name) => /^\d+$/.test(name));
      for (const [index, pid] of pids.entries()) {
        if (index % SLICE === SLICE - 1) await nextTurn();
        const isWanted = (uid: string): boolean => asked.has(uid) || !places.has(uid);
        const process = this.#processOf(pid, isWanted, netns);
        if (process === null) continue;
        const known = places.get(process.uid) ?? new Set();
        places.set(process.uid, known);
        if (process.netnsId !== null) known.add(process.netnsId);
      }
    } finally {
      netns.close();
    }
    return places;
  }

  /** Null: it is of none that is wanted, or has gone. Read twice, as its number may be another process's in between. */
  #processOf(pid: string, isWanted: (uid: string) => boolean, netns: NetnsIds) {
    const uid = podUidOf(this.#read(pid, 'cgroup'));
    if (uid === null || !isWanted(uid)) return null;
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
 * burstable/pod1234-...-ab/...", or, seen from a cgroup namespace, "0::/../../pod1234-.../...". Null: none, or more than
 * one pod.
 */
export function podUidOf(text: string): string | null {
  let found: string | null = null;
  for (const line of text.split('\n')) {
    const uid = podUidOfPath(line.split(':').slice(2).join(':'));
    if (uid === null) continue;
    if (found !== null && found !== uid) return null;
    found = uid;
  }
  return found;
}

/**
 * The first folder of a pod counts, and only the kubelet's own are on the way to it. What is below is the container's
 * own, and elsewhere others may make groups with any name: a user in what systemd has left to him, a container of
 * another runtime in its own.
 */
function podUidOfPath(path: string): string | null {
  const folders = path.split('/').filter((folder) => folder !== '' && folder !== '..');
  for (const folder of folders) {
    const uid = POD_FOLDER.exec(folder)?.[1];
    if (uid !== undefined) return uid.replaceAll('_', '-');
    if (!KUBELET_FOLDER.test(folder)) return null;
  }
  return null;
}

/** With the systemd driver "kubelet-kubepods-burstable.slice", with cgroupfs "burstable"; "kubelet" above: of kind. */
const KUBELET_FOLDER = /^(?:kubepods|kubelet)(?:[-.]|$)|^(?:burstable|besteffort)$/;

const POD_FOLDER =
  /^(?:(?:kubepods|kubelet)-(?:[a-z]+-)*)?pod([0-9a-f]{32}|[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?$/;

/** Field 22 of /proc/PID/stat: when it began. The name in brackets, field 2, may hold anything. */
function birthOf(stat: string): string | null {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

function heard(pods: readonly AskedPod[], veths: readonly Veth[], places: Places): Hearing {
  const testimonies = new Testimonies();
  const doubts = new Map<string, string>();
  for (const { name, podUid } of pods) {
    const netnsIds = places.get(podUid as string);
    if (netnsIds === undefined) continue;
    const own = veths.filter(({ netnsId }) => netnsIds.has(netnsId));
    if (own.length === 0) doubts.set(name, NO_VETH);
    const indexes = new Set(own.map(({ ifindex }) => ifindex));
    testimonies.add(name, { by: 'its processes', veths: indexes });
  }
  const seen = new Set([...places.values()].flatMap((netnsIds) => [...netnsIds]));
  const isSeeing = veths.some(({ netnsId }) => seen.has(netnsId));
  return {
    testimonies: testimonies.all,
    doubts,
    silence: isSeeing ? SILENCE : null,
    problem: null,
  };
}

/**
 * Where processes of pods are seen at all, one of each pod is: the kubelet knows the address of a pod when its sandbox
 * runs. So an address that went on to another pod, which the API has not told yet, does not make that one the former.
 */
const SILENCE = 'none of its processes is seen here, though those of other pods are';

const NO_VETH =
  'no veth leads to the network namespace of its processes (macvlan, ipvlan, SR-IOV, a device of the host?)';
