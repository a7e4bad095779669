/**
 * Tells which of many descriptors can be read, on Node's own event loop and without a thread: all of them hang on one
 * epoll descriptor, and libuv watches that one by uv_poll.
 *
 *     sockets ─► epoll ─► uv_poll ─► setImmediate ─► each socket's reader, in the same turn of the loop
 *
 * libuv calls us outside of what Node takes for its own code: there an exception would vanish, and promises would wait
 * for the next one who is called. So that call does nothing but ask for one of Node's own (test/platform/native).
 */
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';
import { closeDescriptor, failCall } from '../socket_calls.ts';

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_ADD = 1;
const EPOLL_DELETE = 2;
const EPOLL_IN = 1;
const UV_READABLE = 1;
const UV_POLL = 8;
/** struct epoll_event is packed on x86-64, and on no other. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const EVENT_DATA_AT = EVENT_BYTES - 8;
const EVENTS_MAX = 128;

interface Calls {
  readonly create: (flags: number) => number;
  readonly control: (epoll: number, what: number, fd: number, event: Buffer) => number;
  readonly wait: (epoll: number, events: number, countMax: number, timeoutMs: number) => number;
  readonly loop: () => bigint;
  readonly handleBytes: (type: number) => number;
  readonly pollInit: (loop: bigint, handle: Buffer, fd: number) => number;
  readonly pollStart: (handle: Buffer, events: number, callback: bigint) => number;
  readonly pollStop: (handle: Buffer) => number;
}

let calls: Calls | null = null;

/** Throws where this Node does not give its libuv away. */
function loadCalls(): Calls {
  if (calls !== null) return calls;
  // Of other threads only Node itself knows the loop.
  if (!isMainThread) throw new Error('libuv’s loop is known of the main thread only');
  const libc = koffi.load('libc.so.6');
  const node = koffi.load(null);
  calls = {
    create: libc.func('int epoll_create1(int flags)'),
    control: libc.func('int epoll_ctl(int epoll, int what, int fd, const uint8_t *event)'),
    wait: libc.func('int epoll_wait(int epoll, intptr_t events, int countMax, int timeoutMs)'),
    loop: node.func('intptr_t uv_default_loop()'),
    handleBytes: node.func('size_t uv_handle_size(int type)'),
    pollInit: node.func('int uv_poll_init(intptr_t loop, uint8_t *handle, int fd)'),
    pollStart: node.func('int uv_poll_start(uint8_t *handle, int events, intptr_t callback)'),
    pollStop: node.func('int uv_poll_stop(uint8_t *handle)'),
  } as unknown as Calls;
  return calls;
}

export class Readiness {
  readonly #calls = loadCalls();
  readonly #epoll: number;
  /** libuv's: it lives as long as the process, as this does. */
  readonly #handle: Buffer;
  readonly #callback: bigint;
  readonly #readers = new Map<number, () => void>();
  readonly #event = Buffer.alloc(EVENT_BYTES);
  readonly #events = Buffer.allocUnsafeSlow(EVENTS_MAX * EVENT_BYTES);
  readonly #eventsAt = Number(koffi.address(this.#events));
  readonly #onServed: () => void;
  #isAsked = false;
  #isServing = false;
  #isWatched = false;

  /** `onServed`: after the readers of a turn. */
  constructor(onServed: () => void) {
    this.#onServed = onServed;
    const { create, handleBytes, loop, pollInit } = this.#calls;
    this.#epoll = create(EPOLL_CLOEXEC);
    if (this.#epoll < 0) failCall('epoll_create1');
    this.#handle = Buffer.allocUnsafeSlow(handleBytes(UV_POLL));
    const code = pollInit(loop(), this.#handle, this.#epoll);
    if (code !== 0) {
      closeDescriptor(this.#epoll);
      throw new Error(`uv_poll_init: ${code}`);
    }
    const type = koffi.pointer(koffi.proto('void (intptr_t handle, int status, int events)'));
    this.#callback = BigInt(koffi.address(koffi.register(() => this.#ask(), type)));
  }

  /** Readers are being called, and `onServed` comes after them. */
  get isServing(): boolean {
    return this.#isServing;
  }

  /** `read` is called while `fd` has something. It must not throw. */
  add(fd: number, read: () => void): void {
    const event = this.#event;
    event.fill(0);
    event.writeUInt32LE(EPOLL_IN, 0);
    event.writeInt32LE(fd, EVENT_DATA_AT);
    if (this.#calls.control(this.#epoll, EPOLL_ADD, fd, event) !== 0) failCall('epoll_ctl');
    this.#readers.set(fd, read);
    this.#watch();
  }

  /** Before `fd` is closed. */
  delete(fd: number): void {
    if (!this.#readers.delete(fd)) return;
    this.#calls.control(this.#epoll, EPOLL_DELETE, fd, this.#event);
    this.#watch();
  }

  /** A process lives as long as somebody waits here. */
  #watch(): void {
    const isWanted = this.#readers.size > 0;
    if (isWanted === this.#isWatched) return;
    this.#isWatched = isWanted;
    if (!isWanted) this.#calls.pollStop(this.#handle);
    else this.#calls.pollStart(this.#handle, UV_READABLE, this.#callback);
  }

  #ask(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    setImmediate(this.#serve);
  }

  readonly #serve = (): void => {
    this.#isAsked = false;
    this.#isServing = true;
    const count = this.#calls.wait(this.#epoll, this.#eventsAt, EVENTS_MAX, 0);
    for (let i = 0; i < count; i++) {
      const fd = this.#events.readInt32LE(i * EVENT_BYTES + EVENT_DATA_AT);
      // One that was closed by a reader before it has none any more.
      this.#readers.get(fd)?.();
    }
    this.#isServing = false;
    this.#onServed();
  };
}
