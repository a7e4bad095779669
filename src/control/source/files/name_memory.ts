/**
 * Lookups on disk, so that a proxy that starts again has in force what its clients were told before. One line each, behind
 * each other, in a file that only its owner reads or writes; what another could have written, or is damaged, is not used. A
 * line is written before the answer goes, so a process that is killed has forgotten nothing.
 */
import { appendFileSync, lstatSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type IpAddress, parseIp } from '../../../model/address.ts';
import { makeFolders } from '../../../platform/folders.ts';
import type { KeptLookup, Lookup } from '../../names/name_cache.ts';
import {
  checkOwner,
  OWNER_ONLY_FOLDER,
  OwnerOnlyFile,
  readProblem,
  writeProblem,
} from './owner_only_file.ts';

export interface NameMemoryOptions {
  /** Of the state; see `LastGoodOptions`. */
  readonly folder: string;
  readonly name: string;
  readonly wallMs: () => number;
  /** One line. */
  readonly onError: (message: string) => void;
  /** False: nothing is written before `own`. */
  readonly isOurs: boolean;
}

/** Above what the last whole took. */
const GROWTH_BYTES = 4 * 1024 * 1024;
const NONE_THERE = 'there is none';

export class NameMemory {
  readonly #options: NameMemoryOptions;
  readonly #folder: string;
  readonly #path: string;
  readonly #file: OwnerOnlyFile;
  #isOurs: boolean;
  #bytes = 0;
  #wholeBytes = 0;
  /** Its last line has no end: what comes behind it begins with one, or it would be lost with it. */
  #isTorn = false;
  /** What was told last of why nothing can be written; told once. */
  #problem = '';

  constructor(options: NameMemoryOptions) {
    const { folder, name, wallMs, isOurs } = options;
    this.#options = options;
    this.#isOurs = isOurs;
    this.#folder = join(folder, name);
    this.#file = new OwnerOnlyFile({ folder: this.#folder, fileName: 'names', wallMs });
    this.#path = this.#file.path;
  }

  /** In the order in which they were learned; without those that cannot be read. */
  load(): readonly KeptLookup[] {
    try {
      const text = this.#file.read();
      this.#bytes = Buffer.byteLength(text);
      this.#wholeBytes = this.#bytes;
      this.#isTorn = text !== '' && !text.endsWith('\n');
      return lookupsIn(text);
    } catch (error) {
      const problem = readProblem(error);
      if (problem !== NONE_THERE) this.#options.onError(`${this.#path}: ${problem}`);
      return [];
    }
  }

  own(): void {
    this.#isOurs = true;
  }

  append(lookups: readonly KeptLookup[]): void {
    if (!this.#isOurs) return;
    this.#try(() => {
      const text = `${this.#isTorn ? '\n' : ''}${lookups.map(lineOf).join('')}`;
      this.#checkFolder();
      if (this.#bytes > 0) checkOwner(lstatSync(this.#path), 'it');
      // A disk that is full may have taken a part.
      this.#isTorn = true;
      appendFileSync(this.#path, text, { mode: OWNER_ONLY_FILE });
      this.#isTorn = false;
      this.#bytes += Buffer.byteLength(text);
    });
  }

  /** It is worth being written anew. */
  get isLong(): boolean {
    return this.#isOurs && this.#bytes > this.#wholeBytes + GROWTH_BYTES;
  }

  /** All that there is, in the place of what was. */
  rewrite(lookups: Iterable<KeptLookup>): void {
    if (!this.#isOurs) return;
    this.#try(() => {
      this.#checkFolder();
      const next = `${this.#path}.new`;
      writeFileSync(next, Array.from(lookups, lineOf).join(''), { mode: OWNER_ONLY_FILE });
      renameSync(next, this.#path);
      this.#bytes = statSync(this.#path).size;
      this.#wholeBytes = this.#bytes;
      this.#isTorn = false;
    });
  }

  #checkFolder(): void {
    makeFolders(this.#folder, OWNER_ONLY_FOLDER);
    checkOwner(lstatSync(this.#folder), 'its folder');
  }

  #try(write: () => void): void {
    try {
      write();
      this.#problem = '';
    } catch (error) {
      const problem = `cannot write ${this.#path}: ${writeProblem(error)}`;
      if (problem !== this.#problem) this.#options.onError(problem);
      this.#problem = problem;
    }
  }
}

const OWNER_ONLY_FILE = 0o600;

type Line = readonly [
  atMs: number,
  name: string,
  holder: string,
  ttlSeconds: number,
  ips: readonly string[],
];

function lineOf({ atMs, name, holder, ttlSeconds, addresses }: KeptLookup): string {
  const line: Line = [atMs, name, holder, ttlSeconds, addresses.map(({ text }) => text)];
  return `${JSON.stringify(line)}\n`;
}

function lookupsIn(text: string): readonly KeptLookup[] {
  const lookups: KeptLookup[] = [];
  for (const line of text.split('\n').slice(0, -1)) {
    const lookup = lookupOf(line);
    if (lookup !== null) lookups.push(lookup);
  }
  return lookups;
}

/** Null: it is none. */
function lookupOf(line: string): KeptLookup | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (!Array.isArray(value)) return null;
  const [atMs, name, holder, ttlSeconds, ips] = value as readonly unknown[];
  const areTexts = typeof name === 'string' && typeof holder === 'string' && Array.isArray(ips);
  if (!areTexts || typeof atMs !== 'number' || typeof ttlSeconds !== 'number') return null;
  const addresses = ips.flatMap((ip): readonly IpAddress[] => {
    const address = typeof ip === 'string' ? parseIp(ip) : null;
    return address === null ? [] : [address];
  });
  const lookup: Lookup = { name, holder, addresses, ttlSeconds };
  return { ...lookup, atMs };
}
