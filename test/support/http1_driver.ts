/**
 * Runs the HTTP/1.1 parsers over whole streams, cut as told, and puts down what they say in a form
 * that does not depend on the cuts: one entry a message, its content joined.
 */
import {
  CONTENT,
  FAULT,
  HEAD,
  MESSAGE_END,
  NEED_MORE,
  type ParserEvent,
} from '../../src/codec/http1/events.ts';
import type { Http1RequestHead } from '../../src/codec/http1/request_head.ts';
import { RequestParser, type RequestParserOptions } from '../../src/codec/http1/request_parser.ts';
import type { Http1ResponseHead } from '../../src/codec/http1/response_head.ts';
import { ResponseParser } from '../../src/codec/http1/response_parser.ts';
import { serialiseRequestHead, serialiseResponseHead } from '../../src/codec/http1/serialise.ts';
import type { Cause } from '../../src/model/fault_detail.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';

export const REQUEST_OPTIONS: RequestParserOptions = {
  limits: DEFAULT_LIMITS,
  isHttp10Enabled: false,
  areTrailersForwarded: false,
  isPathNormalised: true,
};

export interface RunMessage<Head> {
  readonly head: Head;
  /** As written anew from the parsed head, latin1. */
  readonly sent: string;
  /** What goes upstream after the head, latin1, chunk framing included. */
  content: string;
  isComplete: boolean;
}

export interface Run<Head> {
  readonly messages: RunMessage<Head>[];
  /** '' when there was none. */
  readonly fault: string;
  /** "detail", or "detail 12 0x7c" when it is of a byte; '' when there is none. */
  readonly cause: string;
  /** Bytes of the stream that were used up when it ended or faulted. */
  readonly isIdle: boolean;
}

/** `cuts` are the lengths of the chunks, used in turn; without them all is one chunk. */
export function runRequests(
  stream: string | Buffer,
  options: Partial<RequestParserOptions> = {},
  cuts: readonly number[] = [],
): Run<Http1RequestHead> {
  const parser = new RequestParser({ ...REQUEST_OPTIONS, ...options });
  const messages: RunMessage<Http1RequestHead>[] = [];
  const fault = drive(parser, chunksOf(stream, cuts), {
    messages,
    sentOf: (head) => serialiseRequestHead(head, []).toString('latin1'),
    onEnd: () => {},
  });
  return {
    messages,
    fault,
    cause: fault === '' ? '' : causeText(parser.cause),
    isIdle: parser.isIdle,
  };
}

export interface AskedRequest {
  readonly method: string;
  readonly isUpgradeAsked?: boolean;
}

/** One response for each request, in order; with `isClosed` the stream ends with a FIN. */
export function runResponses(
  stream: string | Buffer,
  options: {
    readonly requests?: readonly AskedRequest[];
    readonly isClosed?: boolean;
    readonly areTrailersForwarded?: boolean;
    readonly limits?: Partial<typeof DEFAULT_LIMITS>;
  } = {},
  cuts: readonly number[] = [],
): Run<Http1ResponseHead> {
  const parser = new ResponseParser({
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    areTrailersForwarded: options.areTrailersForwarded ?? false,
  });
  const asked = [...(options.requests ?? [{ method: 'GET' }])];
  const begin = (): void => {
    const next = asked.shift();
    if (next !== undefined) parser.begin(next.method, next.isUpgradeAsked ?? false);
  };
  begin();
  const messages: RunMessage<Http1ResponseHead>[] = [];
  let fault = drive(parser, chunksOf(stream, cuts), {
    messages,
    sentOf: (head) => serialiseResponseHead(head, { isClosing: false }).toString('latin1'),
    onEnd: begin,
  });
  if (fault === '' && options.isClosed === true) {
    const event = parser.finish();
    if (event === FAULT) fault = parser.fault;
    const last = messages.at(-1);
    if (event === MESSAGE_END && last !== undefined) last.isComplete = true;
  }
  return { messages, fault, cause: causeText(parser.cause), isIdle: parser.isIdle };
}

/** A cause in words. */
export function causeText(cause: Cause | null): string {
  if (cause === null) return '';
  if (cause.byte < 0) return cause.detail;
  return `${cause.detail} ${cause.offset} 0x${cause.byte.toString(16).padStart(2, '0')}`;
}

interface Parser<Head> {
  readonly offset: number;
  readonly head: Head;
  readonly content: Buffer;
  readonly fault: string;
  next(chunk: Buffer, offset: number): ParserEvent;
}

function drive<Head>(
  parser: Parser<Head>,
  chunks: readonly Buffer[],
  sink: {
    readonly messages: RunMessage<Head>[];
    readonly sentOf: (head: Head) => string;
    readonly onEnd: () => void;
  },
): string {
  for (const chunk of chunks) {
    let offset = 0;
    for (;;) {
      const event = parser.next(chunk, offset);
      if (event === FAULT) return parser.fault;
      if (parser.offset < offset || parser.offset > chunk.length) throw new Error('offset is off');
      offset = parser.offset;
      if (event === NEED_MORE) {
        if (offset !== chunk.length) throw new Error('NEED_MORE before the end of the chunk');
        break;
      }
      take(parser, event, sink);
      if (event === HEAD && isTunnel(parser.head)) return '';
    }
  }
  return '';
}

function take<Head>(
  parser: Parser<Head>,
  event: ParserEvent,
  sink: {
    readonly messages: RunMessage<Head>[];
    readonly sentOf: (head: Head) => string;
    readonly onEnd: () => void;
  },
): void {
  if (event === HEAD) {
    const { head } = parser;
    sink.messages.push({ head, sent: sink.sentOf(head), content: '', isComplete: false });
    return;
  }
  const message = sink.messages.at(-1);
  if (message === undefined) throw new Error('content or end before a head');
  if (event === CONTENT) {
    if (parser.content.length === 0) throw new Error('empty content');
    message.content += parser.content.toString('latin1');
  } else if (event === MESSAGE_END) {
    message.isComplete = true;
    sink.onEnd();
  }
}

/** After a 101 the bytes are the proxy's. */
function isTunnel(head: unknown): boolean {
  return (head as { readonly status?: number }).status === 101;
}

/** Fresh memory for each chunk, overwritten never: a parser must not need it to stay. */
export function chunksOf(stream: string | Buffer, cuts: readonly number[]): Buffer[] {
  const bytes = typeof stream === 'string' ? Buffer.from(stream, 'latin1') : stream;
  if (cuts.length === 0) return [bytes];
  const chunks: Buffer[] = [];
  let turn = 0;
  for (let at = 0; at < bytes.length; ) {
    const length = Math.max(1, cuts[turn++ % cuts.length] ?? 1);
    chunks.push(Buffer.from(bytes.subarray(at, at + length)));
    at += length;
  }
  return chunks;
}

/** The content of a chunked message without its framing; for what the parser has accepted. */
export function dechunk(content: string): string {
  let out = '';
  for (let at = 0; ; ) {
    const lineEnd = content.indexOf('\r\n', at);
    const size = Number.parseInt(content.slice(at, lineEnd), 16);
    if (!(size > 0)) return out;
    out += content.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
  }
}
