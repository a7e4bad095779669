/** Datagrams by recvmmsg and sendmmsg (linux): what is answered in one turn of the loop leaves in one call. */
import { randomFillSync } from 'node:crypto';
import type { SocketAddress } from '../../model/address.ts';
import type { Datagrams } from '../datagrams.ts';
import type { Platform } from '../platform.ts';
import { NativeDoor } from './native_door.ts';
import { NativeLinks } from './native_links.ts';
import { Readiness } from './readiness.ts';

const SWEEP_MS = 500;
const RANDOM_COUNT = 2048;

export interface NativeDatagramsOptions {
  readonly platform: Pick<Platform, 'clock' | 'timers'>;
  /** SO_MARK of what transparent doors answer. */
  readonly answerMark: number;
  /** Told of each transparent door before the first datagram comes; may throw. */
  readonly onBound: (fd: number, address: SocketAddress) => void;
}

/** Throws where libuv's loop is not to be had: then there are the plain ones. */
export function nativeDatagrams(options: NativeDatagramsOptions): Datagrams {
  const { platform, answerMark, onBound } = options;
  const pending = new Set<NativeDoor>();
  const flush = (): void => {
    if (pending.size === 0) return;
    for (const door of pending) door.flush();
    pending.clear();
  };
  const readiness = new Readiness(flush);
  const onPending = (door: NativeDoor): void => {
    // What is answered later than in the turn of a reader has no flush that comes by itself.
    if (pending.size === 0 && !readiness.isServing) setImmediate(flush);
    pending.add(door);
  };
  const links = new NativeLinks({
    readiness,
    nowMs: () => platform.clock.nowMs(),
    random: randomSource(),
  });
  platform.timers.every(SWEEP_MS, () => links.sweep());
  return {
    canBeTransparent: true,
    async bind(bindOptions) {
      const door = new NativeDoor(bindOptions, {
        readiness,
        answerMark,
        onPending,
        onClosed: (closed) => pending.delete(closed),
      });
      if (!bindOptions.isTransparent) return door;
      try {
        onBound(door.fd, bindOptions.address);
        return door;
      } catch (error) {
        await door.close();
        throw error;
      }
    },
    connect: (peer, connectOptions) => links.connect(peer, connectOptions),
  };
}

/** Numbers of 16 bits; randomness costs less in bulk. */
function randomSource(): () => number {
  const pool = new Uint16Array(RANDOM_COUNT);
  let at = RANDOM_COUNT;
  return () => {
    if (at === RANDOM_COUNT) {
      randomFillSync(pool);
      at = 0;
    }
    return pool[at++] as number;
  };
}
