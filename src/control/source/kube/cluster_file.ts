/**
 * The state of the cluster that was in force last, on disk, so that a start without an API server has something better
 * than nothing. Lines of JSON, in a file that only its owner reads or writes:
 *
 *     {"format":2,"of":"<which cluster, and how it was read>","authorities":["<SHA-256>", ...],"savedAtMs":...}
 *     {"object":{...}} ...  {"cluster":...} {"labels":[...]} {"endpoint":{...}} ...
 *     {"sha256":"<of the lines before>"}
 *
 * Values of secrets are not in it. It is written in steps, and so often at most.
 *
 * The URL of an API server is no name of its cluster: in pods it is the same in many. So the state counts only where an
 * authority that was trusted when it was written is trusted still.
 */
import { createHash } from 'node:crypto';
import type { TrustedAuthorities } from '../../../kube/access/authorities.ts';
import type { Timers } from '../../../platform/platform.ts';
import type { Inventory } from '../../../policy/resolve/inventory.ts';
import {
  OwnerOnlyFile,
  readProblem,
  UnusableState,
  writeProblem,
} from '../files/owner_only_file.ts';
import type { StoredObject } from '../objects/object_set.ts';
import { type InventoryLine, InventoryReader, inventoryLines } from './inventory_lines.ts';

export interface ClusterFileOptions {
  /** Of one user of the state folder. */
  readonly folder: string;
  /** Which cluster it is and how it is read: a state of anything else is not taken. */
  readonly of: string;
  /** Who is trusted to vouch for its API server at this moment. */
  readonly authorities: () => TrustedAuthorities;
  readonly intervalMs: number;
  readonly timers: Timers;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
  readonly onError: (message: string) => void;
  /** False: nothing is written before `own`, since another process has the folder. */
  readonly isOurs: boolean;
}

export interface StoredCluster {
  readonly objects: readonly StoredObject[];
  readonly inventory: Inventory;
}

export type LoadedCluster =
  | { readonly kind: 'found'; readonly cluster: StoredCluster; readonly savedAtMs: number }
  /** Nothing was kept. `message` goes on from the path. */
  | { readonly kind: 'none'; readonly message: string }
  /** Something was kept that does not count; why not, the same way. */
  | { readonly kind: 'unusable'; readonly message: string };

type Line = InventoryLine | { readonly object: StoredObject };

const FORMAT = 2;
/** Between two turns for others. */
const LINES_AT_ONCE = 500;

export class ClusterFile {
  readonly #options: ClusterFileOptions;
  readonly #file: OwnerOnlyFile;
  /** What there is to write; null: it is written. */
  #take: (() => StoredCluster) | null = null;
  /** What was written last, and who was trusted then. */
  #last: Last | null = null;
  #writing: Promise<void> | null = null;
  #cancelTimer: (() => void) | null = null;
  /** It was written within the interval. */
  #isResting = false;
  #isOurs: boolean;
  #isStopped = false;

  constructor(options: ClusterFileOptions) {
    const { folder, wallMs, isOurs } = options;
    this.#options = options;
    this.#file = new OwnerOnlyFile({ folder, fileName: 'cluster', wallMs });
    this.#isOurs = isOurs;
  }

  get path(): string {
    return this.#file.path;
  }

  load(): LoadedCluster {
    const { of, authorities } = this.#options;
    try {
      return parsed(this.#file.read(), { of, authorities: authorities() });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        return { kind: 'none', message: readProblem(error) };
      }
      const isDamage = error instanceof TypeError;
      return { kind: 'unusable', message: isDamage ? 'it is damaged' : readProblem(error) };
    }
  }

  /** `take` is called when it is written, for what there is then. The newest counts. */
  save(take: () => StoredCluster): void {
    this.#take = take;
    if (!this.#isResting) this.#writeNow();
  }

  own(): void {
    this.#isOurs = true;
    if (!this.#isResting) this.#writeNow();
  }

  /** Writes what is not written yet, and nothing more from then on. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    await this.#writing;
    this.#writeNow();
    await this.#writing;
  }

  #writeNow(): void {
    if (!this.#isOurs) return;
    const take = this.#take ?? this.#rotated();
    if (take === null) return;
    this.#take = null;
    this.#isResting = true;
    this.#cancelTimer?.();
    this.#writing = this.#write(take).then(() => {
      this.#writing = null;
      if (!this.#isStopped) this.#writeLater();
    });
  }

  #writeLater(): void {
    const { timers, intervalMs } = this.#options;
    this.#cancelTimer = timers.after(intervalMs, () => {
      this.#isResting = false;
      this.#writeNow();
      if (!this.#isResting) this.#writeLater();
    });
  }

  /** What was written last, when one of its authorities has been replaced beside others: it is the same cluster. */
  #rotated(): (() => StoredCluster) | null {
    const last = this.#last;
    if (last === null) return null;
    const now = this.#options.authorities();
    if (now.kind === 'error') return null;
    const isSame = JSON.stringify(last.hashes) === JSON.stringify(now.hashes);
    return isSame || !isOneShared(last.hashes, now.hashes) ? null : last.take;
  }

  async #write(take: () => StoredCluster): Promise<void> {
    const { of, authorities, wallMs, onError } = this.#options;
    const trusted = authorities();
    if (trusted.kind === 'error') {
      onError(`cannot write ${this.path}: ${trusted.message}`);
      return;
    }
    const { hashes } = trusted;
    const header = { format: FORMAT, of, authorities: hashes, savedAtMs: wallMs() };
    try {
      await this.#file.write(printed(take(), header));
      this.#last = { take, hashes };
    } catch (error) {
      onError(`cannot write ${this.path}: ${writeProblem(error)}`);
    }
  }
}

interface Last {
  readonly take: () => StoredCluster;
  readonly hashes: readonly string[];
}

function* printed(cluster: StoredCluster, header: object): Generator<string> {
  const hash = createHash('sha256');
  let lines = [JSON.stringify(header)];
  const part = (): string => {
    const text = `${lines.join('\n')}\n`;
    hash.update(text);
    lines = [];
    return text;
  };
  for (const line of linesOf(cluster)) {
    lines.push(JSON.stringify(line));
    if (lines.length >= LINES_AT_ONCE) yield part();
  }
  if (lines.length > 0) yield part();
  yield `${JSON.stringify({ sha256: hash.digest('hex') })}\n`;
}

function* linesOf({ objects, inventory }: StoredCluster): Generator<Line> {
  for (const object of objects) yield { object };
  yield* inventoryLines(inventory);
}

interface Expected {
  readonly of: string;
  readonly authorities: TrustedAuthorities;
}

function parsed(text: string, { of, authorities }: Expected): LoadedCluster {
  const end = text.lastIndexOf('\n', text.length - 2) + 1;
  const [head = '', ...body] = text.slice(0, end).split('\n').slice(0, -1);
  const header = record(JSON.parse(head));
  if (header['format'] !== FORMAT) {
    throw new UnusableState(`its format is ${String(header['format'])}, not ${FORMAT}`);
  }
  const { sha256 } = record(JSON.parse(text.slice(end)));
  if (createHash('sha256').update(text.slice(0, end)).digest('hex') !== sha256) {
    throw new UnusableState('its checksum is wrong');
  }
  if (header['of'] !== of) throw new UnusableState('it is of another cluster or configuration');
  checkAuthorities(header['authorities'], authorities);
  const objects: StoredObject[] = [];
  const inventory = new InventoryReader();
  for (const one of body) {
    const line = JSON.parse(one) as Line;
    if ('object' in line) objects.push(line.object);
    else inventory.take(line);
  }
  const savedAtMs = header['savedAtMs'];
  if (typeof savedAtMs !== 'number') throw new TypeError('it does not say when it was saved');
  return { kind: 'found', cluster: { objects, inventory: inventory.end() }, savedAtMs };
}

/** Throws when it may be another cluster's. */
function checkAuthorities(written: unknown, now: TrustedAuthorities): void {
  if (now.kind === 'error') {
    throw new UnusableState(`it is not known whether it is of this cluster: ${now.message}`);
  }
  if (!Array.isArray(written)) throw new TypeError('it does not say who was trusted');
  const isNobody = written.length === 0 && now.hashes.length === 0;
  if (isNobody || isOneShared(written, now.hashes)) return;
  throw new UnusableState(
    'it is of another cluster: no certificate authority that vouched for its API server then is trusted now',
  );
}

function isOneShared(some: readonly unknown[], others: readonly string[]): boolean {
  return others.some((hash) => some.includes(hash));
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null)
    return value as Readonly<Record<string, unknown>>;
  throw new TypeError('a line is no object');
}
