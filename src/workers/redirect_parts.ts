/**
 * What a worker needs of the redirect, made only when a listener asks for it: a standalone proxy loads
 * no code that calls the kernel by itself.
 */
import type { SocketAddress } from '../model/address.ts';
import type { Clock, Timers } from '../platform/platform.ts';
import { PLAIN_SOCKETS, type Sockets } from '../platform/sockets.ts';
import type { ListenerOptions } from '../proxy/plane/options.ts';
import type { CiliumIdentities } from '../redirect/cilium_maps.ts';
import type { RedirectRecords } from '../redirect/records.ts';
import type { WorkerSettings } from './messages.ts';

export interface RedirectParts {
  readonly sockets: Sockets;
  /** Of each transparent socket for datagrams, once it is bound. */
  readonly onDatagramsBound: (fd: number, address: SocketAddress) => void;
  readonly records: RedirectRecords | null;
  /** Redirected connections come from now on. Throws, in words for the user, when the pins may not be written. */
  readonly takeSlots: () => void;
  readonly stop: () => void;
}

const NOTHING_TO_HOLD = {
  onDatagramsBound: () => {},
  records: null,
  takeSlots: () => {},
  stop: () => {},
} as const;

export interface RedirectEvents {
  readonly timers: Timers;
  /** The pins were made anew, and are held again. */
  readonly onReattached: () => void;
  /** What went wrong with them, once for each thing; asked again at the next interval. */
  readonly onError: (problem: string) => void;
}

export async function makeRedirectParts(
  settings: WorkerSettings,
  events: RedirectEvents,
): Promise<RedirectParts> {
  const { listeners, redirectRoot, index, workerCount, limits } = settings;
  if (!listeners.some(({ isTransparent }) => isTransparent)) {
    return { sockets: PLAIN_SOCKETS, ...NOTHING_TO_HOLD };
  }
  const { TransparentSockets } = await import('../redirect/transparent_sockets.ts');
  const recorded = listeners.filter(({ direction }) => direction === 'by-record');
  if (recorded.length === 0) {
    return { sockets: new TransparentSockets(() => {}), ...NOTHING_TO_HOLD };
  }
  const { Attachment } = await import('../redirect/attachment.ts');
  const attachment = new Attachment({ root: redirectRoot, workerIndex: index, workerCount });
  const takers = connectionTakers(recorded);
  const isOf = ({ address }: ListenerOptions, { ip, port }: SocketAddress): boolean =>
    address.ip === ip && (address.port === port || address.port === 0);
  const sockets = new TransparentSockets((fd, address) => {
    if (takers.some((listener) => isOf(listener, address))) attachment.register(fd, address, 'TCP');
  });
  const onDatagramsBound = (fd: number, address: SocketAddress): void => {
    if (recorded.some((listener) => isOf(listener, address)))
      attachment.register(fd, address, 'UDP');
  };
  let lastProblem = '';
  const stop = events.timers.every(limits.redirectCheckIntervalMs, () => {
    try {
      if (attachment.refresh()) events.onReattached();
      lastProblem = '';
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      if (problem !== lastProblem) events.onError(problem);
      lastProblem = problem;
    }
  });
  const takeSlots = (): void => attachment.takeSlots();
  return { sockets, onDatagramsBound, records: attachment, takeSlots, stop };
}

/** The kernel knows one for each family: one that can speak HTTP speaks DNS, too, where the rules are about it. */
function connectionTakers(recorded: readonly ListenerOptions[]): readonly ListenerOptions[] {
  const isHttp = ({ protocol = 'http' }: ListenerOptions): boolean => protocol === 'http';
  return recorded.filter(
    (listener) =>
      isHttp(listener) ||
      !recorded.some((other) => isHttp(other) && other.address.family === listener.address.family),
  );
}

/** Null when no listener asks Cilium's maps. Throws without an ipcache that a listener asks: all would be world. */
export async function makeCiliumIdentities(
  { listeners, cilium, limits }: WorkerSettings,
  events: {
    readonly clock: Clock;
    /** Once for each thing that goes wrong, not for each question. */
    readonly onError: (problem: string) => void;
  },
): Promise<CiliumIdentities | null> {
  const asked = listeners.flatMap(({ identity }) =>
    identity.kind === 'sources' ? identity.sources : [],
  );
  if (!asked.some((name) => name.startsWith('bpf-'))) return null;
  const { openCiliumMaps } = await import('../redirect/cilium_maps.ts');
  let lastProblem = '';
  const identities = openCiliumMaps({
    ...cilium,
    limits,
    clock: events.clock,
    onProblem: ({ message }) => {
      if (message !== lastProblem) events.onError(message);
      lastProblem = message;
    },
  });
  if (asked.includes('bpf-ipcache')) identities.checkIpcache();
  return identities;
}
