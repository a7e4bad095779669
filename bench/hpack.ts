/**
 * What HTTP/2 heads cost, in ns each: decoding, validating and re-encoding a request as the relay does,
 * and the whole way of a request and its response through two connections without sockets.
 *
 *     node bench/hpack.ts [seconds a case]
 */
import { Http2Connection } from '../src/codec/http2/connection.ts';
import { FAULT, HEAD, NEED_MORE } from '../src/codec/http2/event.ts';
import { HpackDecoder } from '../src/codec/http2/hpack_decoder.ts';
import { encodedLengthMax, encodeFields } from '../src/codec/http2/hpack_encoder.ts';
import { encodeHuffman } from '../src/codec/http2/huffman.ts';
import { RequestRules } from '../src/codec/http2/request_rules.ts';
import { SlabPool } from '../src/codec/http2/slab_pool.ts';
import type { Http2Stream } from '../src/codec/http2/stream.ts';
import { DEFAULT_LIMITS } from '../src/model/limits.ts';

const BOUNDS = { listBytesMax: 61_440, fieldCountMax: 100 };
const SECONDS = Number(process.argv[2] ?? 1);

const REQUEST = [
  ...[':method', 'GET', ':scheme', 'http', ':authority', 'api.default.svc:8080'],
  ...[':path', '/v1/items/4711?verbose=1', 'user-agent', 'bench/1.0 (linux)', 'accept', '*/*'],
  ...['accept-encoding', 'gzip, deflate', 'x-request-id', '6f1e0c1e-7f0b-4f57-9a51-2a1f6ac0d1aa'],
  ...['authorization', 'Bearer abcdefghijklmnopqrstuvwxyz0123456789'],
];
const RESPONSE = [
  ...[':status', '200', 'content-type', 'application/json', 'content-length', '34'],
  ...['date', 'Mon, 01 Jan 2026 00:00:00 GMT', 'server', 'origin/1.2'],
];

/** Literals with incremental indexing, Huffman coded, as most clients send what they send first. */
function firstBlock(fields: readonly string[], isIndexed: boolean): Buffer {
  const parts: Buffer[] = [];
  for (const text of fields) parts.push(Buffer.from(encodeHuffman(Buffer.from(text, 'latin1'))));
  const bytes: number[] = [];
  for (let i = 0; i < parts.length; i += 2) {
    bytes.push(isIndexed ? 0x40 : 0x00);
    for (const part of [parts[i] as Buffer, parts[i + 1] as Buffer]) {
      bytes.push(0x80 | part.length, ...part);
    }
  }
  return Buffer.from(bytes);
}

/** CPU time, which holds still on a machine that others use too. */
function measure(name: string, run: () => void): void {
  for (let i = 0; i < 20_000; i++) run();
  let count = 0;
  let micros = 0;
  for (const begin = process.cpuUsage(); micros < SECONDS * 1e6; ) {
    for (let i = 0; i < 1000; i++) run();
    count += 1000;
    const { user, system } = process.cpuUsage(begin);
    micros = user + system;
  }
  const ns = (micros * 1000) / count;
  process.stdout.write(`${name.padEnd(52)} ${ns.toFixed(0).padStart(7)} ns\n`);
}

function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

function decoderWith(first: Buffer): HpackDecoder {
  const decoder = new HpackDecoder(4096);
  decoder.decode(first, 0, first.length, BOUNDS);
  return decoder;
}

const fieldCount = REQUEST.length / 2;
const repeated = Buffer.from(
  Array.from({ length: fieldCount }, (_, i) => 0xbe + fieldCount - 1 - i),
);
const literals = firstBlock(REQUEST, false);
const inserted = firstBlock(REQUEST, true);
const decoder = decoderWith(inserted);
const literalDecoder = new HpackDecoder(4096);
const rules = new RequestRules({ limits: DEFAULT_LIMITS, isPathNormalised: true });
const target = Buffer.alloc(encodedLengthMax(REQUEST, 0));

measure('decode 9 fields, all of them repeated', () => {
  decoder.decode(repeated, 0, repeated.length, BOUNDS);
});
measure('decode 9 fields, Huffman literals', () => {
  literalDecoder.decode(literals, 0, literals.length, BOUNDS);
});
measure('decode and validate, repeated', () => {
  decoder.decode(repeated, 0, repeated.length, BOUNDS);
  if (typeof rules.read(decoder) === 'string') throw new Error('refused');
});
measure('decode, validate and encode, repeated', () => {
  decoder.decode(repeated, 0, repeated.length, BOUNDS);
  const head = rules.read(decoder);
  if (typeof head === 'string') throw new Error(head);
  const source = head.source();
  if (source !== null) encodeFields(target, 0, source);
});
measure('encode 9 fields', () => {
  encodeFields(target, 0, { fields: REQUEST, kinds: null, from: 0 });
});

/** One exchange through both connections of a relay, GET and an answer of 34 bytes. */
class Exchange {
  readonly #pool = new SlabPool();
  readonly #options = { limits: DEFAULT_LIMITS, pool: this.#pool, isPathNormalised: true };
  readonly #downstream = new Http2Connection<Http2Stream<unknown>>({
    ...this.#options,
    role: 'server',
  });
  readonly #upstream = new Http2Connection<Http2Stream<unknown>>({
    ...this.#options,
    role: 'client',
  });
  #streamId = 1;
  readonly #request = frame(1, 5, 1, repeated);
  readonly #response: Buffer;

  constructor() {
    const content = frame(0, 1, 1, Buffer.alloc(34, 120));
    this.#response = Buffer.concat([frame(1, 4, 1, firstBlock(RESPONSE, false)), content]);
    const settings = frame(4, 0, 0, Buffer.alloc(0));
    const acknowledged = frame(4, 1, 0, Buffer.alloc(0));
    // A window for more content than a run can send.
    const window = frame(8, 0, 0, Buffer.from([0x7f, 0xfe, 0, 0]));
    const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    this.#drive(
      Buffer.concat([preface, settings, acknowledged, window]),
      Buffer.concat([settings, acknowledged]),
    );
    this.#respondTo(frame(1, 5, 1, inserted));
  }

  run(): void {
    this.#request.writeUInt32BE(this.#streamId, 5);
    this.#respondTo(this.#request);
  }

  #respondTo(request: Buffer): void {
    this.#response.writeUInt32BE(this.#streamId, 5);
    this.#response.writeUInt32BE(this.#streamId, this.#response.length - 34 - 4);
    this.#drive(request, this.#response);
    this.#streamId += 2;
    if (this.#streamId > 0x7fff_0000) throw new Error('out of streams');
  }

  #drive(request: Buffer, response: Buffer): void {
    const downstream = this.#downstream;
    const upstream = this.#upstream;
    downstream.receive(request, 0);
    for (let event = downstream.next(); event !== NEED_MORE; event = downstream.next()) {
      const { facts } = downstream;
      if (event === FAULT) throw new Error(facts.detail);
      if (event !== HEAD || facts.requestHead === null) continue;
      const stream = upstream.openStream(facts.stream.id, false);
      stream.context = facts.stream;
      const source = facts.requestHead.source();
      if (source !== null) upstream.sendHeaders(stream, source, facts.isEndStream);
    }
    upstream.take();
    upstream.flushed();
    upstream.receive(response, 0);
    for (let event = upstream.next(); event !== NEED_MORE; event = upstream.next()) {
      const { facts } = upstream;
      if (event === FAULT) throw new Error(facts.detail);
      const to = facts.stream.context as Http2Stream<Http2Stream<unknown>> | null;
      if (to === null) continue;
      if (event === HEAD) downstream.relayHeaders(to, facts);
      else upstream.credit(facts.stream, downstream.sendData(to, facts.bytes, facts));
    }
    downstream.take();
    downstream.flushed();
  }
}

const exchange = new Exchange();
measure('a request and its response through both connections', () => exchange.run());
