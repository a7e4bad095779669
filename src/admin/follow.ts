/**
 * A reply that goes on: lines as they come, until they end or the client goes. What a client does not read waits where
 * it comes from, within a bound of its own. A client that reads nothing of what is with the system already is let go.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { LineFeed } from './reply.ts';

const KEEP_ALIVE_MS = 30_000;

export class Follower {
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #feed: LineFeed;
  readonly #timeoutMs: number;
  #isBlocked = false;
  #timer: NodeJS.Timeout | null = null;

  /** The head of the response is written. */
  constructor(
    exchange: { readonly request: IncomingMessage; readonly response: ServerResponse },
    feed: LineFeed,
    timeoutMs: number,
  ) {
    this.#request = exchange.request;
    this.#response = exchange.response;
    this.#feed = feed;
    this.#timeoutMs = timeoutMs;
  }

  start(): void {
    const { socket } = this.#request;
    if (socket.destroyed) {
      this.#feed.close();
      return;
    }
    // For minutes there may be nothing to tell. The system finds a client that is gone without a word.
    socket.setTimeout(0);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#response.once('close', () => {
      this.#stopTimer();
      this.#feed.close();
    });
    this.#feed.start(() => this.#goOn());
  }

  #goOn(): void {
    if (this.#isBlocked || this.#response.destroyed) return;
    let text = this.#feed.take();
    while (text !== '') {
      if (!this.#response.write(text)) {
        this.#wait();
        return;
      }
      text = this.#feed.take();
    }
    if (this.#feed.isEnded) this.#response.end();
  }

  #wait(): void {
    this.#isBlocked = true;
    this.#timer = setTimeout(() => this.#request.socket.destroy(), this.#timeoutMs);
    this.#response.once('drain', () => {
      this.#isBlocked = false;
      this.#stopTimer();
      this.#goOn();
    });
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
