/**
 * node test/soak/mutation_fuzz.ts SECONDS [SEED]: damaged requests and HTTP/2 frames from clients, damaged
 * responses of both versions from upstreams, for as long as told, while honest clients of both versions ask
 * beside them. Whatever comes: no error is ours, what was opened is closed, no request is two records, and
 * the honest clients get their own answers, byte for byte. Prints the seed; the last line is the sum: "N passed,
 * N failed".
 */
import type { Http2Connection } from '../../src/codec/http2/connection.ts';
import { FAULT, HEAD, NEED_MORE } from '../../src/codec/http2/event.ts';
import { CLIENT_PREFACE } from '../../src/codec/http2/frame.ts';
import {
  block,
  data,
  frame,
  GET,
  headers,
  POST,
  reset,
  SETTINGS_ACK,
  server,
  settings,
  windowUpdate,
} from '../codec/http2/wire.ts';
import { streamOf } from '../support/http1_streams.ts';
import { Http2Client } from '../support/http2_peers.ts';
import { closeRigs, type Rig, startRig } from '../support/plane_rig.ts';
import type { OriginConnection } from '../support/raw_origin.ts';
import { SeededRandom } from '../support/seeded_random.ts';

const ATTACKS_A_ROUND = 40;
const SETTLE_TURNS_MAX = 400;
/** What an origin has read of each HTTP/2 connection. */
const HTTP2_ORIGINS = new WeakMap<OriginConnection, Http2Connection<string>>();
const seconds = Number(process.argv[2] ?? 30);
const firstSeed = Number(process.argv[3] ?? Date.now() % 1_000_000_000);
const lastMs = performance.now() + seconds * 1000;
let passed = 0;
let failed = 0;
console.log(`seed ${firstSeed}, ${seconds} s`);
for (let seed = firstSeed; performance.now() < lastMs && failed === 0; seed++) {
  try {
    await round(new SeededRandom(seed));
    passed += 1;
  } catch (error) {
    failed += 1;
    console.error(`seed ${seed}:`, error);
  }
}
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
console.log(`${passed} passed, ${failed} failed`);

async function round(random: SeededRandom): Promise<void> {
  const rig = await startRig({ script: (connection, chunk) => answer(connection, chunk, random) });
  const honest = await rig.client();
  const honest2 = new Http2Client(rig.port);
  for (let i = 0; i < ATTACKS_A_ROUND; i++) {
    const client = await rig.client();
    client.send(attack(random));
    const mark = `honest-${i};`;
    honest.send(`GET /${mark} HTTP/1.1\r\nhost: honest\r\n\r\n`);
    await honest.until(mark, 1);
    const { status, text } = await honest2.ask({ ':path': `/${mark}`, ':authority': 'honest' });
    if (status !== 200 || text !== `/${mark}`) throw new Error(`by HTTP/2: ${status} ${text}`);
    if (random.below(3) === 0) client.reset();
    else if (random.below(2) === 0) client.end();
    else client.close();
  }
  const contents = honest.received.replaceAll(/HTTP\/1\.1 200 OK\r\n.*?\r\n\r\n/gs, '');
  const wanted = Array.from({ length: ATTACKS_A_ROUND }, (_, i) => `/honest-${i};`).join('');
  if (contents !== wanted) throw new Error(`the honest client got ${honest.received}`);
  honest.close();
  honest2.close();
  await settle(rig);
  closeRigs();
}

async function settle(rig: Rig): Promise<void> {
  const { recorder } = rig;
  for (let i = 0; i < SETTLE_TURNS_MAX && rig.plane.connectionCount > 0; i++) {
    rig.time.advance(3_600_000);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const heads = recorder.records.flatMap(({ head }) => (head === null ? [] : [head]));
  if (new Set(heads).size !== heads.length) throw new Error('a request with two records');
  if (recorder.closed.length !== recorder.openedCount) throw new Error('a connection left open');
}

/** The honest client's question in its answer; to others, anything. */
function answer(connection: OriginConnection, chunk: string, random: SeededRandom): void {
  if (HTTP2_ORIGINS.has(connection) || chunk.startsWith('PRI * ')) {
    answerHttp2(connection, chunk, random);
    return;
  }
  const target = /^GET (\/honest-\d+;) /.exec(chunk)?.[1];
  if (target === undefined) connection.send(streamOf(random.below(1e9), 'response'));
  else connection.send(`HTTP/1.1 200 OK\r\ncontent-length: ${target.length}\r\n\r\n${target}`);
}

/** Reads as a server does; what it sends to others than the honest client is not of that. */
function answerHttp2(connection: OriginConnection, chunk: string, random: SeededRandom): void {
  const reading = HTTP2_ORIGINS.get(connection) ?? server();
  HTTP2_ORIGINS.set(connection, reading);
  reading.receive(Buffer.from(chunk, 'latin1'), 0);
  for (let event = reading.next(); event !== NEED_MORE && event !== FAULT; event = reading.next()) {
    const { requestHead, stream } = reading.facts;
    if (event !== HEAD || requestHead === null) continue;
    if (!requestHead.path.startsWith('/honest-')) {
      for (const bytes of reading.take()) connection.send(bytes);
      connection.send(damagedResponse(stream.id, random));
      continue;
    }
    const content = Buffer.from(requestHead.path, 'latin1');
    const fields = ['content-length', String(content.length)];
    reading.respond(stream, { status: 200, fields, isEndStream: false });
    reading.sendData(stream, content, { start: 0, end: content.length, isEndStream: true });
  }
  for (const bytes of reading.take()) connection.send(bytes);
}

/** Frames of a response and others that may come, in any order, some of their bytes changed, perhaps cut. */
function damagedResponse(id: number, random: SeededRandom): Buffer {
  const head = block([':status', '200', 'content-type', 'text/plain']);
  const usual = [headers(id, [':status', '200'], 0x4), data(id, 'hello', 0x1)];
  const others = [
    headers(id, [':status', '103', 'link', '</a>'], 0x4),
    headers(id, [':status', '204'], 0x5),
    headers(id, [':status', '200', 'content-length', '3'], 0x4),
    headers(id, ['x-sum', '42'], 0x5),
    Buffer.concat([frame(0x1, 0, id, head.subarray(0, 3)), frame(0x9, 0x4, id, head.subarray(3))]),
    data(id, Buffer.alloc(random.below(30_000))),
    data(id, '', 0x1),
    data(id + 2, 'of another'),
    reset(id, random.below(14)),
    windowUpdate(random.below(2) * id, 1 + random.below(1 << 30)),
    settings([1 + random.below(6), random.below(70_000)]),
    frame(0x6, random.below(2), 0, Buffer.alloc(8)),
    frame(0x7, 0, 0, Buffer.from([0, 0, 0, random.below(id + 2), 0, 0, 0, random.below(14)])),
    frame(0x5, 0x4, id, Buffer.from([0, 0, 0, 2])),
    frame(0x2, 0, id, Buffer.from([0, 0, 0, 0, 1])),
    frame(10 + random.below(200), random.below(256), id, Buffer.alloc(random.below(20))),
  ];
  const frames = random.below(3) === 0 ? [] : [...usual];
  for (let count = random.below(4); count > 0; count--) {
    frames.splice(random.below(frames.length + 1), 0, random.pick(others));
  }
  const bytes = Buffer.concat([SETTINGS_ACK, ...frames]);
  for (let count = random.below(3); count > 0; count--) {
    bytes[random.below(bytes.length)] = random.below(256);
  }
  return random.below(4) === 0 ? bytes.subarray(0, random.below(bytes.length)) : bytes;
}

/** Nothing is wrong with them: it is their answers that are damaged. */
function requests(): Buffer {
  const frames = [CLIENT_PREFACE, settings(), SETTINGS_ACK];
  for (let id = 1; id < 9; id += 4) {
    frames.push(headers(id, GET), headers(id + 2, POST, 0x4), data(id + 2, 'hello', 0x1));
  }
  return Buffer.concat(frames);
}

function attack(random: SeededRandom): Buffer {
  const kind = random.below(3);
  if (kind === 0) return Buffer.from(streamOf(random.below(1e9)), 'latin1');
  if (kind === 1) return requests();
  const frames = [settings(), SETTINGS_ACK];
  for (let id = 1; id < 9; id += 2) {
    frames.push(headers(id, POST, 0x4), data(id, 'hello', random.below(2)));
    if (random.below(3) === 0) frames.push(reset(id));
  }
  const bytes = Buffer.concat(frames);
  for (let count = random.below(4); count > 0; count--) {
    bytes[random.below(bytes.length)] = random.below(256);
  }
  return Buffer.concat([CLIENT_PREFACE, bytes.subarray(0, random.below(bytes.length) + 1)]);
}
