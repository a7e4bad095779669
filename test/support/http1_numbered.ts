/**
 * Many clients at once, through one data plane: each request is known to both sides by its number, and every byte
 * of it and of its answer follows from that number. So a byte that is lost, doubled, out of order, or another
 * client's is seen where it arrives. Clients and the origin write in pieces, pause, and leave, by a seed.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SeededRandom } from './seeded_random.ts';

export interface Asked {
  readonly number: number;
  /** As the client sends it and as the origin has to receive it. */
  readonly request: Buffer;
  /** As the origin sends it; nothing for a request that is denied. */
  readonly response: Buffer;
  /** As the client has to receive it. */
  readonly answer: Buffer;
  readonly isAllowed: boolean;
}

export interface AskOptions {
  readonly number: number;
  /** The last one on its connection says so. */
  readonly isLast: boolean;
  /** What the data plane under test answers to whom it denies, on a connection that is kept and on one that is not. */
  readonly denials: { readonly kept: Buffer; readonly closing: Buffer };
}

export function askAtRandom(random: SeededRandom, { number, isLast, denials }: AskOptions): Asked {
  const close = isLast ? 'connection: close\r\n' : '';
  const denial = isLast ? denials.closing : denials.kept;
  const isAllowed = random.below(8) !== 0;
  const method = random.pick(['GET', 'POST', 'POST', 'HEAD']);
  const isHead = method === 'HEAD';
  const content = method === 'POST' ? contentOf(number * 2, sizeAtRandom(random)) : NOTHING;
  const framing = method === 'POST' ? random.pick(['length', 'chunked'] as const) : 'none';
  const request = Buffer.concat([
    Buffer.from(
      `${method} /${isAllowed ? 'ok' : 'no'}/${number} HTTP/1.1\r\nhost: x\r\n${close}${framingLine(framing, content)}\r\n`,
    ),
    framing === 'chunked' ? chunked(content, random) : content,
  ]);
  const size = sizeAtRandom(random);
  const answered = random.pick(['length', 'chunked'] as const);
  const body = contentOf(number * 2 + 1, size);
  const hint = random.below(6) === 0 ? 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n' : '';
  const head = `${hint}HTTP/1.1 200 OK\r\nx-number: ${number}\r\n${framingLine(answered, body)}`;
  const sent = isHead ? NOTHING : answered === 'chunked' ? chunked(body, random) : body;
  const response = Buffer.concat([Buffer.from(`${head}\r\n`), sent]);
  const answer = Buffer.concat([Buffer.from(`${head}${close}\r\n`), sent]);
  return {
    number,
    request,
    response: isAllowed ? response : NOTHING,
    answer: isAllowed ? answer : isHead ? denial.subarray(0, headEnd(denial)) : denial,
    isAllowed,
  };
}

const NOTHING = Buffer.alloc(0);
const BASE_BYTES = 65_521;
const BASE = Buffer.from(Array.from({ length: BASE_BYTES }, (_, i) => (i * 131 + (i >> 7)) & 0xff));

export function headEnd(bytes: Buffer, from = 0): number {
  const at = bytes.indexOf('\r\n\r\n', from, 'latin1');
  return at === -1 ? -1 : at + 4;
}

/** Its number in front and again every so often, and a pattern that starts elsewhere for each. */
function contentOf(number: number, size: number): Buffer {
  const content = Buffer.alloc(size);
  let at = 0;
  let from = (number * 7919) % BASE_BYTES;
  while (at < size) {
    at += BASE.copy(content, at, from);
    from = 0;
  }
  for (let mark = 0; mark + 4 <= size; mark += 1000) content.writeUInt32BE(number, mark);
  return content;
}

function sizeAtRandom(random: SeededRandom): number {
  switch (random.below(10)) {
    case 0:
      return 0;
    case 1:
      return random.below(400_000);
    case 2:
    case 3:
      return random.below(40_000);
    default:
      return random.below(2_000);
  }
}

function framingLine(framing: 'none' | 'length' | 'chunked', { length }: Buffer): string {
  if (framing === 'none') return '';
  return framing === 'length' ? `content-length: ${length}\r\n` : 'transfer-encoding: chunked\r\n';
}

function chunked(content: Buffer, random: SeededRandom): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < content.length; ) {
    const piece = content.subarray(at, at + 1 + random.below(random.pick([10, 500, 100_000])));
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
    at += piece.length;
  }
  pieces.push(Buffer.from('0\r\n\r\n'));
  return Buffer.concat(pieces);
}

/** Answers each request by its number, once all of it is here, byte for byte. */
export class NumberedOrigin {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly differences: string[] = [];
  readonly asked = new Map<number, Asked>();
  readonly #random: SeededRandom;

  private constructor(random: SeededRandom) {
    this.#random = random;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
      this.#serve(socket);
    });
  }

  static async start(random: SeededRandom): Promise<NumberedOrigin> {
    const origin = new NumberedOrigin(random);
    await new Promise<void>((resolve) => origin.#server.listen(0, '127.0.0.1', resolve));
    return origin;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get openCount(): number {
    return this.#sockets.size;
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #serve(socket: Socket): void {
    let current: Asked | null = null;
    let at = 0;
    let start: Buffer = NOTHING;
    let writing: Promise<void> = Promise.resolve();
    // The client's FIN may come before its last answers are out.
    socket.on('end', () => {
      writing = writing.then(() => {
        socket.end();
      });
    });
    socket.on('data', (chunk: Buffer) => {
      if (this.#random.below(30) === 0) pauseShortly(socket, this.#random);
      let rest = start.length === 0 ? chunk : Buffer.concat([start, chunk]);
      start = NOTHING;
      while (rest.length > 0) {
        if (current === null) {
          const line = rest.indexOf(' HTTP/1.1\r\n');
          if (line === -1) {
            start = rest;
            return;
          }
          const number = Number(/\/ok\/(\d+)$/.exec(rest.toString('latin1', 0, line))?.[1]);
          current = this.asked.get(number) ?? null;
          if (current === null) {
            this.differences.push(`origin: no such request ${rest.toString('latin1', 0, line)}`);
            socket.destroy();
            return;
          }
          this.asked.delete(number);
          at = 0;
        }
        const due = current.request.subarray(at, at + rest.length);
        if (!due.equals(rest.subarray(0, due.length))) {
          this.differences.push(`origin: request ${current.number} differs after byte ${at}`);
          socket.destroy();
          return;
        }
        at += due.length;
        rest = rest.subarray(due.length);
        if (at < current.request.length) continue;
        const { response } = current;
        current = null;
        writing = writing.then(() => writePieces(socket, response, this.#random));
      }
    });
  }
}

function pauseShortly(socket: Socket, random: SeededRandom): void {
  socket.pause();
  setTimeout(() => socket.resume(), random.below(4));
}

async function writePieces(socket: Socket, bytes: Buffer, random: SeededRandom): Promise<void> {
  for (let at = 0; at < bytes.length && socket.writable; ) {
    const piece = bytes.subarray(at, at + 1 + random.below(random.pick([40, 3_000, 500_000])));
    at += piece.length;
    if (!socket.write(piece)) await drained(socket);
    if (random.below(3) === 0) await new Promise(setImmediate);
    if (random.below(40) === 0) await sleep(random.below(3));
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
  });
}

export interface Outcome {
  /** '' when nothing was. */
  readonly wrong: string;
  /** Left before the end: what it got until then was looked at. */
  readonly hasLeft: boolean;
}

/** One client: sends all, and compares each byte that comes. */
export async function askAll(
  port: number,
  asked: readonly Asked[],
  random: SeededRandom,
): Promise<Outcome> {
  const due = Buffer.concat(asked.map(({ answer }) => answer));
  const isClosing = asked.at(-1)?.request.includes('connection: close') === true;
  const isLeaving = random.below(6) === 0;
  const leaveAt = isLeaving ? random.below(due.length + 1) : due.length;
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  let got = 0;
  let wrong = '';
  const over = new Promise<void>((resolve) => {
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.on('end', () => resolve());
    socket.on('data', (chunk: Buffer) => {
      const expected = due.subarray(got, got + chunk.length);
      if (!expected.equals(chunk)) {
        wrong = `client of ${asked[0]?.number}: answers differ between ${got} and ${got + chunk.length} of ${due.length}: ${JSON.stringify(chunk.toString('latin1', 0, 200))} not ${JSON.stringify(expected.toString('latin1', 0, 200))}`;
        resolve();
      }
      got += chunk.length;
      if (got >= leaveAt) resolve();
      if (random.below(20) === 0) pauseShortly(socket, random);
    });
    if (leaveAt === 0) resolve();
  });
  const all = Buffer.concat(asked.map(({ request }) => request));
  void writePieces(socket, all, random).then(() => {
    if (!isLeaving && isClosing && random.below(2) === 0) socket.end();
  });
  const timedOut = sleep(25_000, 'late', { ref: false });
  if ((await Promise.race([over, timedOut])) === 'late' && wrong === '') {
    wrong = `client of ${asked[0]?.number}: ${got} of ${due.length} bytes and no more`;
  }
  if (wrong === '' && got < leaveAt)
    wrong = `client of ${asked[0]?.number}: over after ${got} of ${due.length}`;
  if (isLeaving && random.below(2) === 0) socket.resetAndDestroy();
  else socket.destroy();
  return { wrong, hasLeft: isLeaving };
}
