/**
 * Interfaces and the node's addresses as they come, told by `ip -o monitor link address`: sooner than anybody
 * could look at intervals. It says nothing that is not found by a look, too; without it things are only found later.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Timers } from '../../platform/platform.ts';

export interface SeenLink {
  readonly ifindex: number;
  readonly name: string;
  /** The bridge, bond or VRF whose port it is; null: none. */
  readonly master: string | null;
  readonly isGone: boolean;
  /** Its link address; null: its packets have no Ethernet header. */
  readonly address: string | null;
}

export interface LinkEvents {
  /** A link came, went, got another name or link address, or became somebody's port. */
  readonly onLink: (link: SeenLink) => void;
  /** The node has another address, or one less. */
  readonly onAddress: () => void;
}

export type WatchLinks = (events: LinkEvents) => () => void;

/** `retryMs`: until it is started again when it has ended. */
export function watchLinks(
  options: { readonly timers: Timers; readonly retryMs: number },
  events: LinkEvents,
): () => void {
  const { timers, retryMs } = options;
  let end = (): void => {};
  const start = (): void => {
    const child = spawn('ip', WORDS, { stdio: ['ignore', 'pipe', 'ignore'] });
    const lines = createInterface({ input: child.stdout });
    const news = new LinkNews();
    lines.on('line', (line) => {
      const link = parseLink(line);
      if (link === null) events.onAddress();
      else if (news.take(link)) events.onLink(link);
    });
    let isOver = false;
    const again = (): void => {
      if (isOver) return;
      isOver = true;
      end = timers.after(retryMs, start);
    };
    // Without the program both are told, or only the first.
    child.once('error', again);
    child.once('exit', again);
    end = () => {
      isOver = true;
      child.kill();
    };
  };
  start();
  return () => end();
}

const WORDS = ['-o', 'monitor', 'link', 'address'];

/** A pod that sets its own end up and down has nothing to tell us, however often it does. */
export class LinkNews {
  readonly #names = new Map<number, string>();

  /** False: known already. */
  take({ ifindex, name, master, address, isGone }: SeenLink): boolean {
    if (isGone) {
      this.#names.delete(ifindex);
      return true;
    }
    const place = `${name} ${master ?? ''} ${address ?? ''}`;
    if (this.#names.get(ifindex) === place) return false;
    this.#names.set(ifindex, place);
    return true;
  }
}

/** "12: lxc7@if2: <BROADCAST,MULTICAST> mtu 1500 ... \    link/ether 7a:...", or "Deleted 12: ...". */
export function parseLink(line: string): SeenLink | null {
  const [, gone, ifindex, name] = /^(Deleted )?(\d+): ([^\s:@]+)[:@]/.exec(line) ?? [];
  if (ifindex === undefined || name === undefined) return null;
  const address = /\slink\/ether (\S+)/.exec(line)?.[1] ?? null;
  const master = /\smaster (\S+)\s/.exec(line)?.[1] ?? null;
  return { ifindex: Number(ifindex), name, master, isGone: gone !== undefined, address };
}
