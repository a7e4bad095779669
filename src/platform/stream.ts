/**
 * What relays use of a connection, on either side of them, and no more: a socket is one as it stands, and whatever
 * else carries bytes both ways (TLS on a socket) can be one. Bytes come in by the reader that was named when it was
 * made, not by events.
 */
export interface Stream {
  /** False: `drain` follows. `written`: the bytes are the kernel's, or lost. */
  write(bytes: Buffer, written?: () => void): boolean;
  /** Writes until `uncork` go out as one. */
  cork(): void;
  uncork(): void;
  /** Our end follows what was written; the other side may go on. */
  end(): void;
  pause(): void;
  resume(): void;
  isPaused(): boolean;
  /** Over at once; what was not sent yet is lost. */
  destroy(): void;
  /** The same, and the other side learns that it was no proper end. */
  resetAndDestroy(): void;
  on(event: 'drain' | 'finish', listener: () => void): unknown;
  readonly destroyed: boolean;
  /** Bytes that the kernel has not taken yet. */
  readonly writableLength: number;
  readonly writableNeedDrain: boolean;
  /** Our end is out. */
  readonly writableFinished: boolean;
}

/** One that is being connected: what becomes of it is told by events. */
export interface ConnectingStream extends Stream {
  readonly connecting: boolean;
  on(event: 'connect' | 'drain' | 'finish' | 'end' | 'close', listener: () => void): unknown;
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
}
