/** A stream of responses: pauses where the client does not take more, ends where it goes. */

import type { Message } from '@bufbuild/protobuf';
import type { ServerErrorResponse, ServerWritableStream } from '@grpc/grpc-js';
import type { Pause } from './flow_reading.ts';

type Call = ServerWritableStream<Message, Message | Uint8Array>;

export class StreamCall {
  readonly #call: Call;
  readonly #onEnd: () => void;
  #reading: Iterator<Pause, void> | null = null;
  #waitsFor: 'nothing' | 'more' | 'drain' = 'nothing';
  #isFull = false;
  #isOver = false;

  /** `onEnd`: once, whoever ends it. */
  constructor(call: Call, onEnd: () => void) {
    this.#call = call;
    this.#onEnd = onEnd;
    call.on('drain', () => {
      this.#isFull = false;
      if (this.#waitsFor === 'drain') this.#goOn();
    });
    call.once('cancelled', () => this.#over());
    call.once('error', () => this.#over());
    call.once('close', () => this.#over());
  }

  /** The client waits for the head before it reads anything. */
  run(reading: Iterator<Pause, void>): void {
    this.#reading = reading;
    this.#goOn();
  }

  /** Bytes: for a method whose responses are passed on as they came. */
  send(message: Message | Uint8Array): void {
    if (!this.#isOver) this.#isFull = !this.#call.write(message);
  }

  /** There may be more now. */
  wake(): void {
    if (this.#waitsFor === 'more') this.#goOn();
  }

  end(): void {
    if (this.#isOver) return;
    this.#call.end();
    this.#over();
  }

  fail(error: Partial<ServerErrorResponse>): void {
    if (this.#isOver) return;
    this.#call.emit('error', error);
    this.#over();
  }

  #goOn(): void {
    this.#waitsFor = 'nothing';
    while (!this.#isOver) {
      const step = (this.#reading as Iterator<Pause, void>).next();
      if (step.done === true) {
        this.end();
      } else if (this.#isFull) {
        this.#waitsFor = 'drain';
        return;
      } else if (step.value === 'more') {
        this.#waitsFor = 'more';
        return;
      } else if (step.value === 'turn') {
        setImmediate(() => this.#goOn());
        return;
      }
    }
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onEnd();
  }
}
