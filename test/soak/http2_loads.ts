/** What the soak asks: loads of gRPC (grpc-js on both sides) and of plain HTTP/2 (node:http2 on both). */
import { once } from 'node:events';
import {
  constants,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Call, GrpcClient } from '../support/grpc_peers.ts';
import { Http2Client } from '../support/http2_peers.ts';

const STATUS = { OK: 0, CANCELLED: 1, PERMISSION_DENIED: 7 };
const CALL_TIMEOUT_MS = 30_000;
const LONG_LIVED_PAUSE_MS = 200;

export interface Load {
  readonly name: string;
  /** What each call has on record: path, verdict, and status or fault. */
  readonly record: string;
  readonly loopCount: number;
  /** Between two calls of a loop: bounds the rate, and keeps cancels below what counts as abuse. */
  readonly pauseMs: number;
  /** After so many calls a loop takes a fresh connection. */
  readonly callsPerConnection: number;
  /** `number` makes sizes differ. Null when the call ended as it must, else how it ended. */
  readonly call: (peers: Peers, number: number) => Promise<string | null>;
}

export interface Tally {
  readonly record: string;
  count: number;
  readonly problems: string[];
}

export interface Peers {
  readonly grpc: () => GrpcClient;
  readonly plain: () => Http2Client;
  readonly untilMs: number;
}

export const LOADS: readonly Load[] = [
  {
    name: 'unary',
    record: '/test.Bytes/Echo forwarded 0',
    loopCount: 4,
    pauseMs: 2,
    callsPerConnection: 1_000,
    call: (peers, number) => {
      const message = Buffer.alloc((number * 997) % 20_000, number);
      return grpc(peers, { kind: 'unary', method: 'Echo', messages: [message] }, STATUS.OK, [
        message.length,
      ]);
    },
  },
  {
    name: 'client streaming: uploads of a MiB and more',
    record: '/test.Bytes/Count forwarded 0',
    loopCount: 1,
    pauseMs: 50,
    callsPerConnection: 200,
    call: (peers, number) => {
      const messages = Array.from({ length: 20 }, (_, i) => Buffer.alloc(60_000 + number + i));
      return grpc(peers, { kind: 'clientStream', method: 'Count', messages }, STATUS.OK, [7]);
    },
  },
  {
    name: 'server streaming',
    record: '/test.Bytes/Split forwarded 0',
    loopCount: 2,
    pauseMs: 5,
    callsPerConnection: 500,
    call: (peers, number) => {
      const sizes = Buffer.from([1, number % 256, 20, 0, 100]);
      const lengths = [...sizes].map((size) => size * 1000);
      const call: Call = { kind: 'serverStream', method: 'Split', messages: [sizes] };
      return grpc(peers, call, STATUS.OK, lengths);
    },
  },
  {
    name: 'bidirectional streaming',
    record: '/test.Bytes/PingPong forwarded 0',
    loopCount: 2,
    pauseMs: 5,
    callsPerConnection: 500,
    call: pingPong,
  },
  {
    name: 'cancelled after the first response',
    record: '/test.Bytes/PingPong error downstream-reset',
    loopCount: 2,
    pauseMs: 200,
    callsPerConnection: 1_000,
    call: (peers) => {
      const messages = [Buffer.alloc(10)];
      const call: Call = { kind: 'duplex', method: 'PingPong', messages, cancelAfter: 1 };
      return grpc(peers, call, STATUS.CANCELLED, [10]);
    },
  },
  {
    name: 'denied',
    record: '/test.Bytes/Fail denied 7',
    loopCount: 1,
    pauseMs: 10,
    callsPerConnection: 500,
    call: (peers, number) => {
      const messages = [Buffer.alloc(number % 5_000)];
      const call: Call = { kind: 'unary', method: 'Fail', messages };
      return grpc(peers, call, STATUS.PERMISSION_DENIED, []);
    },
  },
  {
    name: 'plain upload',
    record: '/plain/upload forwarded 200',
    loopCount: 1,
    pauseMs: 10,
    callsPerConnection: 50,
    call: async (peers, number) => {
      const byteLength = 300_000 + number;
      const answer = await plain(peers, '/plain/upload', Buffer.alloc(byteLength));
      return answer.status === 200 && answer.text === `${byteLength}` ? null : textOf(answer);
    },
  },
  {
    name: 'plain download',
    record: '/plain/download forwarded 200',
    loopCount: 1,
    pauseMs: 10,
    callsPerConnection: 50,
    call: async (peers, number) => {
      const byteLength = 300_000 + number;
      const answer = await plain(peers, `/plain/download?${byteLength}`);
      return answer.status === 200 && answer.byteLength === byteLength ? null : textOf(answer);
    },
  },
  {
    name: 'reset by the upstream',
    record: '/plain/reset error upstream-reset',
    loopCount: 1,
    pauseMs: 50,
    callsPerConnection: 500,
    call: async (peers) => {
      const answer = await plain(peers, '/plain/reset');
      return answer.resetCode === constants.NGHTTP2_INTERNAL_ERROR ? null : textOf(answer);
    },
  },
];

/** One stream a loop, from the beginning to the end. */
export const LONG_LIVED: Load = {
  name: 'a stream from the beginning to the end',
  record: '/test.Bytes/PingPong forwarded 0',
  loopCount: 1,
  pauseMs: 0,
  callsPerConnection: 1,
  call: async ({ grpc: client, untilMs }) => {
    const open = client().open('PingPong');
    for (let i = 0; performance.now() < untilMs; i++) {
      const message = Buffer.alloc(i % 2_000, i);
      const answer = await Promise.race([open.exchange(message), open.status]);
      if (!Buffer.isBuffer(answer)) return `it ended with ${answer} at message ${i}`;
      if (!answer.equals(message)) return `message ${i} came back as another`;
      await sleep(LONG_LIVED_PAUSE_MS);
    }
    const status = await open.end();
    return status === STATUS.OK ? null : `it ended with ${status}`;
  },
};

/** One call after the other until the time is over. */
export class Loop implements Peers {
  readonly load: Load;
  readonly tally: Tally;
  readonly untilMs: number;
  readonly #ports: readonly [number, number];
  #grpc: GrpcClient | null = null;
  #plain: Http2Client | null = null;

  constructor(load: Load, ports: readonly [number, number], untilMs: number) {
    this.load = load;
    this.tally = { record: load.record, count: 0, problems: [] };
    this.untilMs = untilMs;
    this.#ports = ports;
  }

  readonly grpc = (): GrpcClient => {
    this.#grpc ??= new GrpcClient(this.#ports[0]);
    return this.#grpc;
  };

  readonly plain = (): Http2Client => {
    this.#plain ??= new Http2Client(this.#ports[1]);
    return this.#plain;
  };

  async run(): Promise<void> {
    const { load, tally } = this;
    while (performance.now() < this.untilMs) {
      const problem = await load.call(this, tally.count);
      tally.count += 1;
      if (problem !== null) tally.problems.push(problem);
      if (tally.count % load.callsPerConnection === 0) this.#close();
      if (load.pauseMs > 0) await sleep(load.pauseMs);
    }
    this.#close();
  }

  #close(): void {
    this.#grpc?.close();
    this.#plain?.close();
    this.#grpc = null;
    this.#plain = null;
  }
}

/** `lengths`: those of the messages that came back. */
async function grpc(
  peers: Peers,
  call: Call,
  status: number,
  lengths: readonly number[],
): Promise<string | null> {
  const result = await peers
    .grpc()
    .call({ ...call, options: { deadline: Date.now() + CALL_TIMEOUT_MS } });
  const got = result.messages.map((message) => Number(message.split(':')[0]));
  if (result.code === status && got.join() === lengths.join()) return null;
  return `status ${result.code} (${result.details}), messages of ${got.join() || 'none'}`;
}

async function pingPong(peers: Peers, number: number): Promise<string | null> {
  const open = peers.grpc().open('PingPong');
  for (let i = 0; i < 5; i++) {
    const message = Buffer.alloc((number * 31 + i * 4_001) % 30_000, i);
    const answer = await Promise.race([open.exchange(message), open.status, timeout()]);
    if (!Buffer.isBuffer(answer)) return `message ${i}: ended with ${answer}`;
    if (!answer.equals(message)) return `message ${i} came back as another`;
  }
  const status = await open.end();
  return status === STATUS.OK ? null : `status ${status}`;
}

async function timeout(): Promise<string> {
  await sleep(CALL_TIMEOUT_MS, undefined, { ref: false });
  return 'a time-out';
}

function plain(peers: Peers, path: string, content?: Buffer) {
  return peers.plain().ask({ ':method': 'POST', ':path': path }, content);
}

function textOf(answer: { status: number; byteLength: number; resetCode: number }): string {
  return `status ${answer.status}, ${answer.byteLength} bytes, reset code ${answer.resetCode}`;
}

export async function startSoakOrigin(): Promise<{ readonly port: number; stop(): void }> {
  const sessions = new Set<ServerHttp2Session>();
  const server = createServer();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => {});
    const [path, query] = String(headers[':path']).split('?');
    if (path === '/plain/upload') answerUpload(stream);
    else if (path === '/plain/download') answerDownload(stream, Number(query));
    else answerReset(stream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      for (const session of sessions) session.destroy();
      server.close();
    },
  };
}

function answerUpload(stream: ServerHttp2Stream): void {
  let byteLength = 0;
  stream.on('data', (chunk: Buffer) => {
    byteLength += chunk.length;
  });
  stream.on('end', () => {
    stream.respond({ ':status': 200 });
    stream.end(`${byteLength}`);
  });
}

function answerDownload(stream: ServerHttp2Stream, byteLength: number): void {
  stream.respond({ ':status': 200 });
  const pieceLength = 10_007;
  for (let left = byteLength; left > 0; left -= pieceLength) {
    stream.write(Buffer.alloc(Math.min(left, pieceLength)));
  }
  stream.end();
}

/** In the middle of its content. */
function answerReset(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200 });
  stream.write('the beginning', () => stream.destroy(new Error('in the middle')));
}
