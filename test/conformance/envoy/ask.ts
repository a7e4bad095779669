/** One request on a connection of its own, as raw bytes or raw fields, and what became of it. */
import { connect, type Socket } from 'node:net';
import { DATA, FAULT, HEAD, NEED_MORE, RESET } from '../../../src/codec/http2/event.ts';
import { client } from '../../codec/http2/wire.ts';
import type { Case } from './cases.ts';

export interface Outcome {
  /** redirected: to a path that is asked for anew. lost: a close or a reset without an answer. */
  readonly kind: 'forwarded' | 'denied' | 'redirected' | 'refused' | 'lost';
  readonly status: number;
  /** What the origin saw, or where a redirect leads. */
  readonly seen: string;
}

const TIMEOUT_MS = 5000;
const STREAM = 1;

export function askHttp1(port: number, { text }: Case): Promise<Outcome> {
  return over(port, (socket, done) => {
    let received = '';
    socket.write(Buffer.from(text, 'latin1'));
    const settle = (): boolean => {
      const head = received.slice(0, received.indexOf('\r\n\r\n'));
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
      const body = received.slice(head.length + 4);
      if (head === '' || status < 200 || body.length < length) return false;
      done(outcomeOf(status, body, /\r\nlocation: (.*)/i.exec(head)?.[1] ?? ''));
      return true;
    };
    socket.on('data', (chunk) => {
      received += chunk.toString('latin1');
      if (received.includes('\r\n\r\n') && !/transfer-encoding/i.test(received)) settle();
    });
    socket.on('close', () => settle() || done(outcomeOf(0, '', '')));
  });
}

export function askHttp2(port: number, { text }: Case): Promise<Outcome> {
  const fields = JSON.parse(text) as readonly string[];
  return over(port, (socket, done) => {
    const connection = client();
    let status = 0;
    let location = '';
    let body = '';
    let isAsked = false;
    const flush = (): void => {
      for (const bytes of connection.take()) socket.write(bytes);
    };
    const ask = (): void => {
      if (isAsked || !connection.canOpenStream(STREAM)) return;
      isAsked = true;
      const stream = connection.openStream(STREAM, false);
      connection.sendHeaders(stream, { fields, kinds: null, from: 0 }, true);
    };
    flush();
    socket.on('data', (chunk: Buffer) => {
      connection.receive(chunk, 0);
      for (let event = connection.next(); event !== NEED_MORE; event = connection.next()) {
        const { facts } = connection;
        if (event === HEAD && facts.responseHead !== null) {
          status = facts.responseHead.status;
          location = facts.responseHead.field('location') ?? '';
        } else if (event === DATA) {
          body += facts.bytes.toString('latin1', facts.start, facts.end);
          connection.credit(facts.stream, facts.end - facts.start);
        }
        const isOver = (event === HEAD || event === DATA) && facts.isEndStream;
        if (isOver || event === RESET || event === FAULT) {
          done(outcomeOf(status, body, location));
          return;
        }
      }
      ask();
      flush();
    });
    socket.on('close', () => done(outcomeOf(status, body, location)));
  });
}

function outcomeOf(status: number, body: string, location: string): Outcome {
  if (status === 200) return { kind: 'forwarded', status, seen: body };
  if (status === 307) return { kind: 'redirected', status, seen: location };
  if (status === 403) return { kind: 'denied', status, seen: '' };
  return { kind: status === 0 ? 'lost' : 'refused', status, seen: '' };
}

function over(
  port: number,
  talk: (socket: Socket, done: (outcome: Outcome) => void) => void,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const done = (outcome: Outcome): void => {
      resolve(outcome);
      socket.destroy();
    };
    socket.setTimeout(TIMEOUT_MS, () => done({ kind: 'lost', status: 0, seen: 'time-out' }));
    socket.on('error', () => done({ kind: 'lost', status: 0, seen: '' }));
    socket.on('connect', () => talk(socket, done));
  });
}
