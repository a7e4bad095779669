/** What a route is given, and what it gives. */

export interface AdminRequest {
  readonly method: string;
  readonly query: URLSearchParams;
  /** "" when there was none. */
  readonly body: string;
}

export interface AdminReply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** Of a 405. */
  readonly allow?: readonly string[];
  /** What comes after `body`, by and by. Whoever gets the reply closes it. */
  readonly more?: LineFeed;
}

/** Lines that come until they end. */
export interface LineFeed {
  /** Nothing comes after what waits now. */
  readonly isEnded: boolean;
  /** `onReady` is called when there is something to take, and not again before `take` has given "". */
  start(onReady: () => void): void;
  /** Of what waits a part that one string can hold; "" when nothing does. */
  take(): string;
  close(): void;
}

export function jsonReply(status: number, value: unknown): AdminReply {
  return jsonTextReply(status, JSON.stringify(value, null, 2));
}

export function jsonTextReply(status: number, json: string): AdminReply {
  return { status, contentType: 'application/json; charset=utf-8', body: `${json}\n` };
}

export function errorReply(status: number, error: string): AdminReply {
  return jsonReply(status, { error });
}

export function textReply(status: number, body: string): AdminReply {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}
