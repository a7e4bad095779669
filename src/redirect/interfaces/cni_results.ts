/**
 * What the CNI plugins answered, as the container runtime keeps it (libcni: /var/lib/cni/results, one file for each
 * attachment of a container). Written by root of the node; a file that somebody else could have written is not read.
 * A node that was switched off leaves files of containers that are no more: for one address, and for one interface,
 * the newest file counts, as both are given again only after they were given back.
 * libcni writes the file when the last plugin has ended, so a route of the plugin is there before it.
 */
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseIp } from '../../model/address.ts';
import {
  type AskedPod,
  type Hearing,
  Testimonies,
  unheard,
  type Veth,
  type Witness,
} from './witness.ts';

export interface CniResultsOptions {
  readonly folder: string;
  readonly fileBytesMax: number;
  readonly fileCountMax: number;
  /** Who alone may have written them; absent: root. */
  readonly ownerUid?: number;
}

export interface CniResult {
  /** Null: the runtime does not tell. */
  readonly podUid: string | null;
  /** "namespace/name"; null: the runtime does not tell. */
  readonly podName: string | null;
  readonly ips: readonly string[];
  /** Names of interfaces on the node's side: the end of a veth, and perhaps a bridge. */
  readonly hostInterfaces: readonly string[];
}

interface Kept {
  readonly stamp: string;
  readonly timeMs: number;
  readonly result: CniResult | null;
}

export class CniResults implements Witness {
  readonly #options: CniResultsOptions;
  #kept = new Map<string, Kept>();
  /** A pod that was asked for had one: the runtime of this node keeps them here. */
  #isInUse = false;

  constructor(options: CniResultsOptions) {
    this.#options = options;
  }

  async hear(pods: readonly AskedPod[], veths: readonly Veth[]): Promise<Hearing> {
    const problem = this.#look();
    if (problem !== null) return unheard(problem);
    const results = [...this.#kept.values()]
      .flatMap(({ result, timeMs }) => (result === null ? [] : [{ ...result, timeMs }]))
      .sort((one, other) => one.timeMs - other.timeMs);
    const hearing = heard(pods, veths, results);
    const hasOwn = ({ name, podUid }: AskedPod): boolean =>
      podUid !== null && hearing.testimonies.has(name);
    this.#isInUse ||= pods.some(hasOwn);
    if (!this.#isInUse) return hearing;
    const absent = pods.filter((pod) => pod.podUid !== null && !hasOwn(pod));
    return { ...hearing, absences: new Map(absent.map(({ name }) => [name, ABSENCE])) };
  }

  /** Null, or why nothing can be read. */
  #look(): string | null {
    const { folder, fileCountMax } = this.#options;
    let names: readonly string[];
    try {
      if (!this.#isOwn(lstatSync(folder), 'folder')) return `${folder} is not root's alone`;
      names = readdirSync(folder);
    } catch (error) {
      const isAbsent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      this.#kept = new Map();
      return isAbsent ? null : `${folder}: ${error instanceof Error ? error.message : error}`;
    }
    if (names.length > fileCountMax) {
      return `${folder} has ${names.length} files, more than limits.cniResultCountMax`;
    }
    this.#kept = new Map(names.flatMap((name) => this.#file(name)));
    return null;
  }

  #file(name: string): readonly (readonly [string, Kept])[] {
    const path = join(this.#options.folder, name);
    try {
      const status = lstatSync(path);
      const stamp = `${status.ino} ${status.size} ${status.mtimeMs}`;
      const known = this.#kept.get(name);
      if (known?.stamp === stamp) return [[name, known]];
      const isReadable = this.#isOwn(status, 'file') && status.size <= this.#options.fileBytesMax;
      const result = isReadable ? parseCniResult(readFileSync(path, 'utf8')) : null;
      return [[name, { stamp, timeMs: status.mtimeMs, result }]];
    } catch {
      // It went between two calls.
      return [];
    }
  }

  #isOwn(status: Status, kind: 'folder' | 'file'): boolean {
    const isKind = kind === 'folder' ? status.isDirectory() : status.isFile();
    const isOwned = status.uid === (this.#options.ownerUid ?? 0);
    return isKind && isOwned && (status.mode & WRITABLE_BY_OTHERS) === 0;
  }
}

const ABSENCE =
  'a route leads to its address, but there is no CNI result of it yet, as there is of other pods: it may be the next pod’s';

interface Status {
  readonly uid: number;
  readonly mode: number;
  isDirectory(): boolean;
  isFile(): boolean;
}

const WRITABLE_BY_OTHERS = 0o022;

/** A file of libcni's cache, or a bare result as older ones keep it. Null: neither, or it names no address. */
export function parseCniResult(text: string): CniResult | null {
  const file = parsed(text);
  if (file === null) return null;
  const result = isMap(file['result']) ? file['result'] : file;
  const ips = listOf(result['ips']).flatMap(({ address }) => {
    const ip = typeof address === 'string' ? parseIp(address.split('/')[0] ?? '') : null;
    return ip === null ? [] : [ip.text];
  });
  const hostInterfaces = listOf(result['interfaces']).flatMap(({ name, sandbox }) =>
    typeof name === 'string' && (sandbox === undefined || sandbox === '') ? [name] : [],
  );
  if (ips.length === 0) return null;
  const given = argumentsOf(file['cniArgs']);
  const [namespace, name] = [given.get('K8S_POD_NAMESPACE'), given.get('K8S_POD_NAME')];
  const podName = namespace === undefined || name === undefined ? null : `${namespace}/${name}`;
  return { podUid: given.get('K8S_POD_UID') ?? null, podName, ips, hostInterfaces };
}

type Map_ = Readonly<Record<string, unknown>>;

function parsed(text: string): Map_ | null {
  try {
    const value: unknown = JSON.parse(text);
    return isMap(value) ? value : null;
  } catch {
    return null;
  }
}

function isMap(value: unknown): value is Map_ {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): readonly Map_[] {
  return Array.isArray(value) ? value.filter(isMap) : [];
}

/** `[["K8S_POD_NAME", "web"], ...]`. */
function argumentsOf(value: unknown): ReadonlyMap<string, string> {
  const pairs = Array.isArray(value) ? value.filter((one) => Array.isArray(one)) : [];
  return new Map(
    pairs.flatMap(([key, word]: readonly unknown[]) =>
      typeof key === 'string' && typeof word === 'string' ? [[key, word] as const] : [],
    ),
  );
}

/** `results`: the newest last. */
function heard(
  pods: readonly AskedPod[],
  veths: readonly Veth[],
  results: readonly CniResult[],
): Hearing {
  const indexes = new Map(veths.map(({ name, ifindex }) => [name, ifindex]));
  const byIp = new Map(results.flatMap((result) => result.ips.map((ip) => [ip, result] as const)));
  const byInterface = new Map(
    results.flatMap((result) => result.hostInterfaces.map((name) => [name, result] as const)),
  );
  const testimonies = new Testimonies();
  const denials = new Map<string, string>();
  for (const pod of pods) {
    for (const ip of pod.ips) {
      const result = byIp.get(ip);
      if (result === undefined) continue;
      if (isOfAnother(result, pod)) {
        denials.set(
          pod.name,
          `by its CNI result ${ip} is now of ${result.podName ?? 'another pod'}`,
        );
      }
      if (!isOf(result, pod)) continue;
      const own = result.hostInterfaces.flatMap((name) => {
        const ifindex = indexes.get(name);
        return ifindex === undefined || byInterface.get(name) !== result ? [] : [ifindex];
      });
      testimonies.add(pod.name, { by: `the CNI result of ${ip}`, veths: new Set(own) });
    }
  }
  return {
    ...{ testimonies: testimonies.all, doubts: new Map(), denials },
    ...{ silence: null, problem: null },
  };
}

/**
 * The result is there before the first process of the new pod is: an address that went on, which the API has not told
 * yet, makes nobody the former holder.
 */
function isOfAnother({ podUid }: CniResult, pod: AskedPod): boolean {
  return podUid !== null && pod.podUid !== null && podUid !== pod.podUid;
}

function isOf({ podUid, podName }: CniResult, pod: AskedPod): boolean {
  if (podUid !== null && pod.podUid !== null) return podUid === pod.podUid;
  return podName === null || podName === pod.name;
}
