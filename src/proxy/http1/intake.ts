/**
 * hot path
 *
 * The reading half of the HTTP/1.1 relay: bytes of the client → events of one request at a time. What
 * belongs to later requests (or to a tunnel that is not open yet) is held back, bounded, until the
 * relay is ready for it.
 */
import { CONTENT, FAULT, HEAD, MESSAGE_END } from '../../codec/http1/events.ts';
import { HeldBytes } from '../../codec/http1/held_bytes.ts';
import type { Http1RequestHead } from '../../codec/http1/request_head.ts';
import { RequestParser } from '../../codec/http1/request_parser.ts';
import type { Stream } from '../../platform/stream.ts';
import type { Guard } from '../plane/guard.ts';
import type { RelayContext } from '../request/relay.ts';

const NOTHING = Buffer.alloc(0);

export interface IntakeEvents {
  onRequestHead(head: Http1RequestHead): void;
  onRequestContent(content: Buffer): void;
  onRequestEnd(): void;
  /** The parser says what is wrong, and what it has seen. */
  onRequestFault(parser: RequestParser): void;
  /** True while one request is complete and not yet answered: the next bytes wait. */
  isBusy(): boolean;
  isOver(): boolean;
  /** Bytes that wait are more than may wait: true when the relay took care of it. */
  onHeld(byteLength: number): boolean;
  /** All that was held has been read. */
  onHeldRead(): void;
}

export class Http1Intake {
  readonly #parser: RequestParser;
  readonly #downstream: Stream;
  readonly #events: IntakeEvents;
  readonly #guard: Guard;
  readonly #heldBytesMax: number;
  /** What waits: a slice of what was read, and after it what came since, copied. */
  #held: Buffer = NOTHING;
  readonly #heldMore = new HeldBytes();
  /** Of the chunk that is being read. */
  #unreadBytes = 0;
  /** When the first byte of a head that is not complete came; 0 when there is none. */
  headStartedMs = 0;

  constructor({ downstream, plane, guard }: RelayContext, events: IntakeEvents) {
    const { parsing } = plane;
    this.#parser = new RequestParser(parsing);
    this.#downstream = downstream;
    this.#events = events;
    this.#guard = guard;
    this.#heldBytesMax = parsing.limits.pipelinedBytesMax;
  }

  get isInHead(): boolean {
    return this.#parser.isInHead;
  }

  /** Between requests, not a byte of a next one seen. */
  get isIdle(): boolean {
    return this.#parser.isIdle && this.#held.length === 0;
  }

  /** Bytes that were received and not looked at. */
  get hasMore(): boolean {
    return this.#held.length > 0 || this.#unreadBytes > 0;
  }

  /** More waits than may: the client is paused. */
  get isFull(): boolean {
    return this.#waitingBytes > this.#heldBytesMax;
  }

  /** Fields that rules looked at or changed in the head of the request in hand. */
  judged(fields: readonly string[]): void {
    this.#parser.judged(fields);
  }

  /** Bytes of the client, in order. */
  take(chunk: Buffer, nowMs: number): void {
    // What is held comes first, also when its turn is only a microtask away.
    if (this.#held.length > 0 || this.#events.isBusy()) this.#hold(chunk);
    else this.#read(chunk, nowMs);
  }

  /** The relay is ready for the next request. Deferred, so that pipelining cannot grow the stack. */
  proceed(nowMs: number): void {
    if (this.#held.length === 0) this.#downstream.resume();
    else queueMicrotask(() => this.#guard.run(() => this.#readHeld(nowMs)));
  }

  /** The request in hand had to wait, and so had what follows its head. */
  goOn(nowMs: number): void {
    const held = this.#takeHeld();
    this.#downstream.resume();
    this.#read(held, nowMs);
    if (!this.hasMore && !this.#events.isOver()) this.#events.onHeldRead();
  }

  /** Reads on even when a response is awaited, so that a client that leaves is seen; not when too much waits. */
  readOn(): void {
    if (!this.isFull) this.#downstream.resume();
  }

  /** Everything that waits, for a tunnel. */
  takeHeld(): Buffer {
    const held = this.#takeHeld();
    this.#downstream.resume();
    return held;
  }

  #readHeld(nowMs: number): void {
    if (this.#events.isOver() || this.#events.isBusy() || this.#held.length === 0) return;
    this.goOn(nowMs);
  }

  #takeHeld(): Buffer {
    const more = this.#heldMore;
    const held =
      more.length === 0
        ? this.#held
        : Buffer.concat([this.#held, more.buffer.subarray(0, more.length)]);
    this.#held = NOTHING;
    more.release();
    return held;
  }

  /** A copy of the first slice for each of many short requests in it would be quadratic. */
  #hold(chunk: Buffer): void {
    if (this.#held.length === 0) this.#held = chunk;
    else this.#heldMore.append(chunk, 0, chunk.length);
    if (this.#events.onHeld(this.#waitingBytes)) return;
    if (this.isFull) this.#downstream.pause();
  }

  /** What waits to be read, and what was read of a head or of trailers that are not whole. */
  get keptBytes(): number {
    return this.#waitingBytes + this.#parser.heldBytes;
  }

  get #waitingBytes(): number {
    return this.#held.length + this.#heldMore.length;
  }

  #read(chunk: Buffer, nowMs: number): void {
    const parser = this.#parser;
    let offset = 0;
    for (;;) {
      const event = parser.next(chunk, offset);
      offset = parser.offset;
      this.#unreadBytes = chunk.length - offset;
      if (event === HEAD) this.#events.onRequestHead(parser.head);
      else if (event === CONTENT) this.#events.onRequestContent(parser.content);
      else if (event === MESSAGE_END) this.#events.onRequestEnd();
      else if (event === FAULT) this.#events.onRequestFault(parser);
      else break;
      if (event === HEAD) this.headStartedMs = 0;
      if (this.#events.isOver()) return;
      if (event === FAULT) break;
      if (this.#events.isBusy()) {
        if (offset < chunk.length) this.#hold(chunk.subarray(offset));
        break;
      }
    }
    this.#unreadBytes = 0;
    if (this.headStartedMs === 0 && parser.isInHead) this.headStartedMs = nowMs;
  }
}
