/**
 * The last good policy set on disk, so that a process that starts while the files are bad has something better
 * than nothing to enforce. Texts as they were read, in one file that only its owner reads or writes, since
 * secrets are among them:
 *
 *     {"format":1,"sha256":"<of the second line>","savedAt":"2026-01-02T03:04:05.000Z"}
 *     {"policies":[{"path","text"}, ...],"endpoints":...,"secrets":...}
 *
 * Whatever could have been written by another user, or is damaged, is not used: an old set is only as good as
 * our certainty that it is ours.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { OwnerOnlyFile, readProblem, UnusableState, writeProblem } from './owner_only_file.ts';
import type { SourceBundle, SourceText } from './source_bundle.ts';

export interface LastGoodOptions {
  /** Made when it is not there, with a folder for each user in it. */
  readonly folder: string;
  /** Who uses it: "proxy" or "loader". They may run as different users. */
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
  /** A set that could not be saved; told once for each attempt. */
  readonly onError: (message: string) => void;
  /** False: nothing is written before `own`, since another process has the folder. Absent: it is ours. */
  readonly isOurs?: boolean;
}

export type LoadedSet =
  | { readonly kind: 'found'; readonly bundle: SourceBundle; readonly savedAt: string }
  /** `message` goes on from the path: "there is none", "its checksum is wrong". */
  | { readonly kind: 'none'; readonly message: string };

const FORMAT = 1;

export class LastGoodSet {
  readonly path: string;
  readonly #file: OwnerOnlyFile;
  readonly #options: LastGoodOptions;
  #next: SourceBundle | null = null;
  #saving: Promise<void> | null = null;
  #isOurs: boolean;

  constructor(options: LastGoodOptions) {
    this.#options = options;
    this.#isOurs = options.isOurs ?? true;
    const folder = join(options.folder, options.name);
    this.#file = new OwnerOnlyFile({ folder, fileName: 'last-good', wallMs: options.wallMs });
    this.path = this.#file.path;
  }

  load(): LoadedSet {
    try {
      return parsed(this.#file.read());
    } catch (error) {
      return { kind: 'none', message: readProblem(error) };
    }
  }

  /** The newest wins. */
  save(bundle: SourceBundle): void {
    this.#next = bundle;
    if (this.#isOurs) this.#saving ??= this.#saveAll();
  }

  /** What was to be saved meanwhile is saved now. */
  own(): void {
    this.#isOurs = true;
    if (this.#next !== null) this.#saving ??= this.#saveAll();
  }

  /** Resolves when what was to be saved is, or could not be. */
  async settled(): Promise<void> {
    await this.#saving;
  }

  async #saveAll(): Promise<void> {
    while (this.#next !== null) {
      const bundle = this.#next;
      this.#next = null;
      try {
        await this.#file.write([printed(bundle, this.#options.wallMs())]);
      } catch (error) {
        this.#options.onError(`cannot write ${this.path}: ${writeProblem(error)}`);
      }
    }
    this.#saving = null;
  }
}

function printed(bundle: SourceBundle, wallMs: number): string {
  const body = JSON.stringify({
    policies: bundle.policies,
    endpoints: bundle.endpoints,
    secrets: bundle.secrets,
    hasNodeLabels: bundle.hasNodeLabels,
  });
  const header = {
    format: FORMAT,
    sha256: sha256(body),
    savedAt: new Date(wallMs).toISOString(),
  };
  return `${JSON.stringify(header)}\n${body}\n`;
}

function parsed(text: string): LoadedSet {
  const lineEnd = text.indexOf('\n');
  const header: unknown = JSON.parse(text.slice(0, lineEnd));
  if (!isRecord(header)) throw new UnusableState('it has no header');
  if (header['format'] !== FORMAT) {
    throw new UnusableState(`its format is ${String(header['format'])}, not ${FORMAT}`);
  }
  const body = text.slice(lineEnd + 1, -1);
  if (header['sha256'] !== sha256(body)) throw new UnusableState('its checksum is wrong');
  const bundle: unknown = JSON.parse(body);
  const savedAt = header['savedAt'];
  if (!isBundle(bundle) || typeof savedAt !== 'string') throw new UnusableState('it holds no set');
  return { kind: 'found', bundle, savedAt };
}

function isBundle(value: unknown): value is SourceBundle {
  if (!isRecord(value)) return false;
  const { policies, endpoints, secrets, hasNodeLabels = false } = value;
  return (
    typeof hasNodeLabels === 'boolean' &&
    Array.isArray(policies) &&
    policies.every(isText) &&
    [endpoints, secrets].every((one) => one === null || isText(one))
  );
}

function isText(value: unknown): value is SourceText {
  return isRecord(value) && typeof value['path'] === 'string' && typeof value['text'] === 'string';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
