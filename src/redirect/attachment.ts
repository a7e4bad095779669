/**
 * A worker's hold on what `sallyport redirect up` has pinned: reads the records, keeps its listeners
 * registered. Pins may be made anew while the proxy runs (`redirect down` and `up`, a new layout): then
 * the maps that we hold are nobody's any more, and `refresh` opens the new ones.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { SocketAddress } from '../model/address.ts';
import type { Transport } from '../model/connection_meta.ts';
import { KernelError } from './kernel/kernel_error.ts';
import { openPinnedMap } from './kernel/pinned.ts';
import {
  decodeRecord,
  encodeTuple,
  IP_PROTOCOLS,
  LAYOUT_VERSION,
  RECORD_BYTES,
  type RedirectRecord,
} from './layout.ts';
import type { RedirectRecords } from './records.ts';
import { fillSlots, type Place, registerListener } from './registration.ts';

export interface AttachmentOptions extends Place {
  /** `redirect.root` of the configuration. */
  readonly root: string;
}

interface Registered {
  readonly fd: number;
  readonly address: SocketAddress;
  readonly transport: Transport;
}

type OpenMap = ReturnType<typeof openPinnedMap>;

/** Where records are: mostly in the first, where their holder's share has room for them; those of datagrams. */
type RecordMaps = readonly [own: OpenMap, spare: OpenMap, datagrams: OpenMap];

const RECORD_MAPS = ['records', 'spare_records', 'datagrams'] as const;

export class Attachment implements RedirectRecords {
  readonly #options: AttachmentOptions;
  readonly #listeners: Registered[] = [];
  #records: RecordMaps;
  /** Of the pin that `#records` was opened by. */
  #pin: string;
  #hasSlots = false;

  /** Throws, in words for the user, when the pins are not there or may not be read. */
  constructor(options: AttachmentOptions) {
    this.#options = options;
    this.#pin = this.#currentPin();
    this.#records = this.#open();
  }

  lookup(
    source: SocketAddress,
    destination: SocketAddress,
    transport: Transport,
  ): RedirectRecord | null {
    const [own, spare, datagrams] = this.#records;
    const key = encodeTuple(source, destination, IP_PROTOCOLS[transport]);
    const value =
      transport === 'UDP' ? datagrams.lookup(key) : (own.lookup(key) ?? spare.lookup(key));
    return value === null ? null : decodeRecord(value);
  }

  /** What is redirected comes to `fd`, which listens or is for datagrams, once slots are taken. */
  register(fd: number, address: SocketAddress, transport: Transport): void {
    const listener = { fd, address, transport };
    this.#listeners.push(listener);
    if (this.#hasSlots) this.#registerOne(listener);
  }

  /** From now on connections come to us, and no longer to the proxy that had our slots before. */
  takeSlots(): void {
    this.#hasSlots = true;
    for (const listener of this.#listeners) this.#registerOne(listener);
  }

  /**
   * True when something of ours was lost and is ours again now: pins that were made anew, slots that a
   * proxy which is gone had taken over. Throws while the pins are missing.
   */
  refresh(): boolean {
    const pin = this.#currentPin();
    if (!this.#hasSlots) return false;
    if (pin === this.#pin) return this.#fill();
    const before = this.#records;
    this.#records = this.#open();
    for (const map of before) map.close();
    for (const listener of this.#listeners) this.#registerOne(listener);
    this.#pin = pin;
    return true;
  }

  #registerOne({ fd, ...place }: Registered): void {
    inWords(() => registerListener(this.#mapsFolder, fd, { ...this.#options, ...place }));
  }

  #fill(): boolean {
    const { workerIndex, workerCount } = this.#options;
    let isAnyTaken = false;
    for (const { fd, address, transport } of this.#listeners) {
      const place = { workerIndex, workerCount, address, transport };
      isAnyTaken = fillSlots(this.#mapsFolder, fd, place) || isAnyTaken;
    }
    return isAnyTaken;
  }

  #open(): RecordMaps {
    const opened: OpenMap[] = [];
    try {
      for (const name of RECORD_MAPS) {
        const map = inWords(() => openPinnedMap(join(this.#mapsFolder, name)));
        opened.push(map);
        if (map.valueBytes !== RECORD_BYTES)
          throw new Error(`${this.#mapsFolder}/${name} is of another layout than this version's`);
      }
      return opened as unknown as RecordMaps;
    } catch (error) {
      for (const map of opened) map.close();
      throw error;
    }
  }

  /** Of the file system: another pin is another inode. */
  #currentPin(): string {
    const path = join(this.#mapsFolder, 'records');
    try {
      const { dev, ino } = statSync(path);
      return `${dev} ${ino}`;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const why = code === 'ENOENT' ? 'is not there: run `sallyport redirect up` first' : code;
      throw new Error(`redirect: ${path}: ${why}`, { cause: error });
    }
  }

  get #mapsFolder(): string {
    return join(this.#options.root, `v${LAYOUT_VERSION}`, 'maps');
  }
}

/** Rights are the user's to mend: says which. */
function inWords<T>(task: () => T): T {
  try {
    return task();
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'EACCES') throw error;
    throw new Error(
      `redirect: ${error.message}: this user needs the group of the pins (redirect.group of the configuration)`,
      { cause: error },
    );
  }
}
