/**
 * Holds a client to the server name of its first ClientHello. A server may ask for a second one by a
 * HelloRetryRequest (RFC 8446 4.1.4), and servers then go by its name: it must be the one that was judged
 * (RFC 8446 4.1.2 lets nothing of it change).
 *
 *     client ──hello──► judged ──► server ──HelloRetryRequest──► client ──second hello──► held, compared ──► server
 *
 * Nothing of the server's is held. Of the client's, handshake records are held until they are a whole hello; what
 * else comes before the server's answer (early data, change_cipher_spec) is passed on. A ServerHello ends it: what
 * follows is encrypted or of the handshake that was judged. Also a hello that does not wait for the request is held.
 */
import type { Cause } from '../model/fault_detail.ts';
import { GrowingBytes } from './growing_bytes.ts';
import {
  type ClientHello,
  ClientHelloReader,
  HANDSHAKE_HEADER_BYTES,
  HANDSHAKE_RECORD,
  RECORD_HEADER_BYTES,
  TLS_MAJOR,
} from './tls_hello.ts';

export type ClientBytes =
  /** To be sent on now; perhaps empty, as some are held. */
  | { readonly kind: 'pass'; readonly bytes: Buffer }
  | { readonly kind: 'malformed'; readonly cause: Cause }
  /** A later hello has another name. */
  | { readonly kind: 'renamed'; readonly serverName: string };

const NOTHING = Buffer.alloc(0);
/** Of a ciphertext (RFC 5246 6.2.3); no server reads a longer one. */
const RECORD_BYTES_MAX = 16_384 + 2048;

export class TlsRetryWatch {
  readonly #serverName: string;
  readonly #bytesMax: number;
  readonly #answer = new ServerAnswer();
  /** The header of the client's next record, as far as it is there. */
  readonly #header = new GrowingBytes();
  /** Of a record that is passed on. */
  #passLeft = 0;
  readonly #held = new GrowingBytes();
  #reader: ClientHelloReader | null = null;
  #isOver = false;

  /** `bytesMax` of a later hello, as of the first. */
  constructor(serverName: string, bytesMax: number) {
    this.#serverName = serverName;
    this.#bytesMax = bytesMax;
  }

  /** Nothing is left to watch for, and nothing is held: both ways as it comes. */
  get isOver(): boolean {
    return this.#isOver && this.#header.length === 0 && this.#held.length === 0;
  }

  /** Of a hello that is not whole. */
  get heldBytes(): number {
    return this.#held.length;
  }

  /** What the server has sent, before it is passed on. */
  fromServer(bytes: Buffer): void {
    if (!this.#isOver && this.#answer.read(bytes)) this.#isOver = true;
  }

  /** What the client has sent after its first hello. */
  fromClient(bytes: Buffer): ClientBytes {
    const out: Buffer[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#isOver) {
        this.#release(out);
        out.push(bytes.subarray(at));
        break;
      }
      if (this.#reader !== null) {
        const rest = bytes.subarray(at);
        const refused = this.#readHello(this.#reader, rest, out);
        if (refused !== null) return refused;
        at = bytes.length - this.#unread;
      } else if (this.#passLeft > 0) {
        const length = Math.min(this.#passLeft, bytes.length - at);
        out.push(bytes.subarray(at, at + length));
        this.#passLeft -= length;
        at += length;
      } else {
        at += this.#readHeader(bytes.subarray(at), out);
      }
    }
    return { kind: 'pass', bytes: joined(out) };
  }

  /** Of the last call of `#readHello`: bytes behind the hello. */
  #unread = 0;

  #readHello(reader: ClientHelloReader, bytes: Buffer, out: Buffer[]): ClientBytes | null {
    const before = this.#held.length;
    // One that is longer is refused before more of it is kept.
    this.#held.append(bytes.subarray(0, Math.max(0, this.#bytesMax + 1 - before)));
    const hello: ClientHello = reader.read(this.#held.view());
    this.#unread = 0;
    if (hello.kind === 'need-more') return null;
    if (hello.kind === 'malformed') return hello;
    if (hello.serverName !== this.#serverName) {
      return { kind: 'renamed', serverName: hello.serverName };
    }
    this.#unread = before + bytes.length - reader.byteLength;
    out.push(this.#held.take().subarray(0, reader.byteLength));
    this.#reader = null;
    return null;
  }

  /** How many bytes of the header were there. That of a record that will be passed on is not held either. */
  #readHeader(bytes: Buffer, out: Buffer[]): number {
    const part = bytes.subarray(0, RECORD_HEADER_BYTES - this.#header.length);
    this.#header.append(part);
    const header = this.#header.view();
    const isHandshake = header[0] === HANDSHAKE_RECORD;
    if (!isHandshake) out.push(part);
    if (header.length < RECORD_HEADER_BYTES) return part.length;
    const length = header.readUInt16BE(3);
    if (header[1] !== TLS_MAJOR || length > RECORD_BYTES_MAX) {
      // No TLS server reads on after that.
      this.#isOver = true;
    } else if (isHandshake) {
      this.#reader = new ClientHelloReader(this.#bytesMax);
      this.#held.append(header);
    } else {
      this.#passLeft = length;
    }
    if (this.#reader !== null || !isHandshake) this.#header.take();
    return part.length;
  }

  /** What was held when the server answered. */
  #release(out: Buffer[]): void {
    const header = this.#header.take();
    if (header[0] === HANDSHAKE_RECORD) out.push(header);
    if (this.#held.length > 0) out.push(this.#held.take());
    this.#reader = null;
  }
}

const SERVER_HELLO = 2;
const HELLO_REQUEST = 0;
const VERSION_BYTES = 2;
/** The random of a ServerHello that is a HelloRetryRequest (RFC 8446 4.1.3). */
const RETRY_RANDOM = Buffer.from(
  'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c',
  'hex',
);
const RANDOM_AT = HANDSHAKE_HEADER_BYTES + VERSION_BYTES;
const RANDOM_END = RANDOM_AT + RETRY_RANDOM.length;

/** Looks for the first ServerHello that is no HelloRetryRequest; keeps the first bytes of one message. */
class ServerAnswer {
  readonly #header = Buffer.alloc(RECORD_HEADER_BYTES);
  #headerBytes = 0;
  #recordLeft = 0;
  #isHandshake = false;
  readonly #start = Buffer.alloc(RANDOM_END);
  #startBytes = 0;
  /** Of the message; −1: not known yet. */
  #messageLeft = -1;

  /** True: there is no further hello that the server would read. */
  read(bytes: Buffer): boolean {
    for (let at = 0; at < bytes.length; ) {
      if (this.#recordLeft === 0) {
        this.#header[this.#headerBytes++] = bytes[at++] as number;
        if (this.#headerBytes === RECORD_HEADER_BYTES && !this.#beginRecord()) return true;
        continue;
      }
      const end = Math.min(bytes.length, at + this.#recordLeft);
      this.#recordLeft -= end - at;
      if (this.#isHandshake && this.#readMessages(bytes, at, end)) return true;
      at = end;
    }
    return false;
  }

  /** False: that is no TLS. */
  #beginRecord(): boolean {
    this.#headerBytes = 0;
    this.#recordLeft = this.#header.readUInt16BE(3);
    this.#isHandshake = this.#header[0] === HANDSHAKE_RECORD;
    return this.#header[1] === TLS_MAJOR && this.#recordLeft <= RECORD_BYTES_MAX;
  }

  #readMessages(bytes: Buffer, start: number, end: number): boolean {
    for (let at = start; at < end; ) {
      if (this.#messageLeft >= 0 && this.#startBytes === RANDOM_END) {
        const length = Math.min(this.#messageLeft, end - at);
        this.#messageLeft -= length;
        at += length;
      } else {
        this.#start[this.#startBytes++] = bytes[at++] as number;
        if (this.#startBytes === HANDSHAKE_HEADER_BYTES) {
          this.#messageLeft = this.#start.readUIntBE(1, 3);
          const type = this.#start[0];
          if (type !== SERVER_HELLO && type !== HELLO_REQUEST) return true;
        } else if (this.#startBytes > HANDSHAKE_HEADER_BYTES) {
          this.#messageLeft -= 1;
        }
        if (this.#startBytes === RANDOM_END && !this.#isRetry()) return true;
      }
      if (this.#messageLeft === 0) this.#endMessage();
    }
    return false;
  }

  #isRetry(): boolean {
    return this.#start.compare(RETRY_RANDOM, 0, RETRY_RANDOM.length, RANDOM_AT, RANDOM_END) === 0;
  }

  #endMessage(): void {
    this.#startBytes = 0;
    this.#messageLeft = -1;
  }
}

function joined(parts: readonly Buffer[]): Buffer {
  if (parts.length === 0) return NOTHING;
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}
