/** HTTP/1.1 heads from bytes. llhttp, on the same bytes with callbacks that do nothing, stands beside it. */
import { HEAD, NEED_MORE } from '../../../src/codec/http1/events.ts';
import { RequestParser } from '../../../src/codec/http1/request_parser.ts';
import { ResponseParser } from '../../../src/codec/http1/response_parser.ts';
import { serialiseRequestHead } from '../../../src/codec/http1/serialise.ts';
import { PARSER_OPTIONS, requestBytes, responseBytes } from '../heads.ts';
import type { Work, Works } from '../work.ts';

const FIELD_COUNTS = [5, 20, 80] as const;

export function works(): Works {
  const all: Record<string, Work> = {};
  const parser = new RequestParser(PARSER_OPTIONS);
  const responses = new ResponseParser(PARSER_OPTIONS);
  for (const count of FIELD_COUNTS) {
    const bytes = requestBytes(count);
    const response = responseBytes(count);
    all[`request head, ${count} fields`] = () => request(parser, bytes).byteLength;
    all[`response head, ${count} fields`] = () => answer(responses, response);
    all[`llhttp, request head, ${count} fields`] = native(bytes);
  }
  const bytes = requestBytes(20);
  all['request head and what policy asks of it, 20 fields'] = () => {
    const { method, path, authority } = request(parser, bytes);
    return method.length + path.length + authority.length;
  };
  all['request head and all of its fields, 20 fields'] = () =>
    request(parser, bytes).fields().length;
  all['request head, written again, 20 fields'] = () =>
    serialiseRequestHead(request(parser, bytes), []).length;
  return all;
}

function request(parser: RequestParser, bytes: Buffer): RequestParser['head'] {
  if (parser.next(bytes, 0) !== HEAD) throw new Error(parser.fault);
  const { head } = parser;
  parser.next(bytes, parser.offset);
  if (parser.next(bytes, parser.offset) !== NEED_MORE) throw new Error('more than one request');
  return head;
}

function answer(parser: ResponseParser, bytes: Buffer): number {
  parser.begin('GET', false);
  if (parser.next(bytes, 0) !== HEAD) throw new Error(parser.fault);
  const { status } = parser.head;
  parser.next(bytes, parser.offset);
  if (!parser.isIdle) throw new Error('content after a response without');
  return status;
}

interface NativeParser {
  initialize(type: number, resource: object): void;
  /** Bytes read, or an error. */
  execute(bytes: Buffer): unknown;
  [callback: number]: () => number;
}

function native(bytes: Buffer): Work {
  const { HTTPParser } = process.getBuiltinModule('_http_common') as unknown as {
    HTTPParser: { new (): NativeParser; REQUEST: number; kOnHeadersComplete: number };
  };
  const parser = new HTTPParser();
  parser.initialize(HTTPParser.REQUEST, {});
  parser[HTTPParser.kOnHeadersComplete] = () => 0;
  return () => {
    const read = parser.execute(bytes);
    if (typeof read !== 'number') throw new Error(`llhttp: ${read}`);
    return read;
  };
}
