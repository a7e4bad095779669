/** DNS messages on a TCP connection, each behind its length in two bytes (RFC 1035 4.2.2), however they are cut. */
import { GrowingBytes } from '../growing_bytes.ts';

const LENGTH_BYTES = 2;

export class TcpMessages {
  readonly #held = new GrowingBytes();
  /** Behind what was given out last. */
  #rest: Buffer | null = null;

  /** Bytes that wait for the rest of their message. */
  get heldBytes(): number {
    return this.#held.length;
  }

  /** These, and messages that nobody has taken yet. */
  get keptBytes(): number {
    return this.#held.length + (this.#rest?.length ?? 0);
  }

  /** After this all messages are taken by `next`, until it gives null, before more is pushed. */
  push(bytes: Buffer): void {
    if (this.#held.length === 0) {
      this.#rest = bytes;
      return;
    }
    this.#held.append(bytes);
    if (isWhole(this.#held.view())) this.#rest = this.#held.take();
  }

  /** The next whole message, in the memory that was pushed or its copy; null: it has not come whole yet. */
  next(): Buffer | null {
    const rest = this.#rest;
    if (rest === null) return null;
    if (!isWhole(rest)) {
      if (rest.length > 0) this.#held.append(rest);
      this.#rest = null;
      return null;
    }
    const end = LENGTH_BYTES + rest.readUInt16BE(0);
    this.#rest = rest.subarray(end);
    return rest.subarray(LENGTH_BYTES, end);
  }
}

function isWhole(bytes: Buffer): boolean {
  return bytes.length >= LENGTH_BYTES && bytes.length >= LENGTH_BYTES + bytes.readUInt16BE(0);
}

/** With its length before it. Throws when it has more bytes than a length can say. */
export function framedMessage(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(LENGTH_BYTES + message.length);
  framed.writeUInt16BE(message.length, 0);
  message.copy(framed, LENGTH_BYTES);
  return framed;
}
