/**
 * The members of a connection that a relay uses, on either side, and no more. A socket is a stream as it is. Anything
 * else that carries bytes both ways can be one, for example TLS on a socket. Incoming bytes go to the reader that was
 * named when the stream was made, not to events.
 */
export interface Stream {
  /** False: `drain` follows. `written`: the bytes are the kernel's, or lost. */
  write(bytes: Buffer, written?: () => void): boolean;
  /** Writes until `uncork` go out as one. */
  cork(): void;
  uncork(): void;
  /** Our end (FIN) follows what was written; the other side may continue. */
  end(): void;
  pause(): void;
  resume(): void;
  isPaused(): boolean;
  /** Ends the connection at once; what was not sent yet is lost. */
  destroy(): void;
  /** The same by a reset, so that the other side knows that this was no regular end. */
  resetAndDestroy(): void;
  on(event: 'drain' | 'finish', listener: () => void): unknown;
  readonly destroyed: boolean;
  /** Bytes that the kernel has not taken yet. */
  readonly writableLength: number;
  readonly writableNeedDrain: boolean;
  /** Our end (FIN) has been sent. */
  readonly writableFinished: boolean;
}

/** A stream that is being connected; events say whether it succeeds. */
export interface ConnectingStream extends Stream {
  readonly connecting: boolean;
  on(event: 'connect' | 'drain' | 'finish' | 'end' | 'close', listener: () => void): unknown;
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
}
