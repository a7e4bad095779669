/**
 * Finds where an HTTP/1.1 response ends: a head, and content by length or in chunks. For answers of servers
 * that we started ourselves, one at a time on a connection; not a parser for strangers.
 */
export interface Response {
  readonly status: number;
  readonly contentBytes: number;
  /** The server says that it closes. */
  readonly isLast: boolean;
}

/** A head, or content in chunks, has to fit; content by length is only counted. */
const HELD_BYTES_MAX = 1024 * 1024;

export class ResponseReader {
  /** Of a head that is not whole, or of content in chunks. */
  #held = EMPTY;
  /** Content by length that is still to come. */
  #awaited = 0;
  #response: Response | null = null;

  read(bytes: Uint8Array): Response | 'more' | 'unreadable' {
    if (this.#response !== null) return this.#countContent(bytes.length);
    const all = this.#held.length === 0 ? asBuffer(bytes) : Buffer.concat([this.#held, bytes]);
    const head = headOf(all);
    if (head === null) return this.#hold(all);
    if (head === 'unreadable') return head;
    const { status, isLast, framing, headBytes } = head;
    if (framing === 'chunked') {
      const end = endOfChunks(all, headBytes);
      if (end === 'unreadable') return end;
      if (end === null) return this.#hold(all);
      this.#held = EMPTY;
      return { status, isLast, contentBytes: end.contentBytes };
    }
    this.#held = EMPTY;
    this.#response = { status, isLast, contentBytes: framing };
    this.#awaited = framing;
    return this.#countContent(all.length - headBytes);
  }

  #countContent(length: number): Response | 'more' | 'unreadable' {
    this.#awaited -= length;
    if (this.#awaited > 0) return 'more';
    if (this.#awaited < 0) return 'unreadable';
    const response = this.#response as Response;
    this.#response = null;
    return response;
  }

  /** A copy: the caller reads into the same memory again. */
  #hold(bytes: Buffer): 'more' | 'unreadable' {
    if (bytes.length > HELD_BYTES_MAX) return 'unreadable';
    this.#held = Buffer.from(bytes);
    return 'more';
  }
}

interface Head {
  readonly status: number;
  readonly isLast: boolean;
  readonly framing: number | 'chunked';
  readonly headBytes: number;
}

const EMPTY = Buffer.alloc(0);
const HEAD_END = '\r\n\r\n';

function headOf(bytes: Buffer): Head | 'unreadable' | null {
  const end = bytes.indexOf(HEAD_END, 0, 'latin1');
  if (end < 0) return null;
  const head = bytes.toString('latin1', 0, end + 2);
  const status = Number(/^HTTP\/1\.[01] ([0-9]{3})[ \r]/.exec(head)?.[1]);
  const length = /\r\ncontent-length: *([0-9]+) *\r\n/i.exec(head)?.[1];
  const isChunked = /\r\ntransfer-encoding: *chunked *\r\n/i.test(head);
  const isWithoutContent = status === 204 || status === 304;
  if (!(status >= 200) || !(isWithoutContent || isChunked || length !== undefined)) {
    return 'unreadable';
  }
  return {
    status,
    isLast: /\r\nconnection: *close *\r\n/i.test(head),
    framing: isWithoutContent ? 0 : isChunked ? 'chunked' : Number(length),
    headBytes: end + HEAD_END.length,
  };
}

/** Null: more is to come. No trailers, which none of our origins sends. */
function endOfChunks(bytes: Buffer, from: number): { contentBytes: number } | 'unreadable' | null {
  let contentBytes = 0;
  for (let at = from; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at, 'latin1');
    if (lineEnd < 0) return null;
    const size = /^([0-9A-Fa-f]{1,8})(;.*)?$/.exec(bytes.toString('latin1', at, lineEnd))?.[1];
    if (size === undefined) return 'unreadable';
    const length = Number.parseInt(size, 16);
    const next = lineEnd + 2 + length + 2;
    if (bytes.length < next) return null;
    if (length === 0) return bytes.length === next ? { contentBytes } : 'unreadable';
    contentBytes += length;
    at = next;
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
