/** The streams that clients read now, bounded in their number. */
import type { Message } from '@bufbuild/protobuf';
import { Metadata, type ServerWritableStream, status } from '@grpc/grpc-js';
import { StreamCall } from './stream_call.ts';

export class Streams {
  readonly #countMax: number;
  readonly #open = new Set<StreamCall>();

  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get count(): number {
    return this.#open.size;
  }

  /** Null: there are too many, and the client was told. */
  open(
    call: ServerWritableStream<Message, Message>,
    onEnd: () => void = () => {},
  ): StreamCall | null {
    const stream = new StreamCall(call, () => {
      this.#open.delete(stream);
      onEnd();
    });
    if (this.#open.size >= this.#countMax) {
      stream.fail({ code: status.RESOURCE_EXHAUSTED, details: 'too many read flows already' });
      return null;
    }
    this.#open.add(stream);
    // The CLI waits for the head before it reads. A version of ours says nothing to it about the interface.
    call.sendMetadata(new Metadata());
    return stream;
  }

  /** There may be more for them. */
  wake(): void {
    for (const stream of this.#open) stream.wake();
  }

  close(): void {
    for (const stream of this.#open) {
      stream.fail({ code: status.UNAVAILABLE, details: 'the server ends' });
    }
  }
}
