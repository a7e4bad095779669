import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Http2Connection } from '../../../src/codec/http2/connection.ts';
import { DATA, HEAD, NEED_MORE, TRAILERS } from '../../../src/codec/http2/event.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { POOL } from './wire.ts';

/** Field lists that use static, dynamic and long entries, again and again on one connection. */
const LISTS: readonly (readonly string[])[] = Array.from({ length: 60 }, (_, i) => [
  ...['x-same', 'always', `x-name-${i % 7}`, `value ${i % 3}`],
  ...['x-long', 'abc,;=/%'.repeat((i * 37) % 300), 'accept', '*/*'],
  ...[
    'x-odd',
    String.fromCharCode(...Array.from({ length: 94 }, (_, c) => 33 + c)).repeat(i % 3) || '-',
  ],
]);

let port = 0;
const ours = net.createServer(serve);
const theirs = http2.createServer();

beforeAll(async () => {
  ours.listen(0, '127.0.0.1');
  await once(ours, 'listening');
  port = (ours.address() as net.AddressInfo).port;
  theirs.on('stream', (stream: http2.ServerHttp2Stream, _, __, rawHeaders) => {
    stream.on('error', () => {});
    const echoed = rawHeaders.filter((_, i) => !(rawHeaders[i - (i % 2)] ?? '').startsWith(':'));
    stream.respond([':status', '200', ...echoed] as unknown as http2.OutgoingHttpHeaders, {
      waitForTrailers: true,
    });
    stream.on('wantTrailers', () =>
      stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': 'é %' }),
    );
    stream.pipe(stream);
  });
  theirs.listen(0, '127.0.0.1');
  await once(theirs, 'listening');
});

afterAll(() => {
  ours.close();
  theirs.close();
});

/** Our server role: answers each request with the fields and the content that it got. */
function serve(socket: net.Socket): void {
  const connection = new Http2Connection<null>({
    role: 'server',
    limits: DEFAULT_LIMITS,
    pool: POOL,
    isPathNormalised: true,
  });
  socket.on('error', () => {});
  socket.setNoDelay(true);
  const write = (): void => {
    for (const chunk of connection.take()) socket.write(chunk);
    connection.flushed();
  };
  write();
  socket.on('data', (chunk: Buffer) => {
    connection.receive(chunk, 0);
    for (let event = connection.next(); event !== NEED_MORE; event = connection.next()) {
      const { facts } = connection;
      if (event === HEAD && facts.requestHead !== null) {
        const fields = facts.requestHead.fields();
        connection.respond(facts.stream, { status: 200, fields, isEndStream: facts.isEndStream });
      } else if (event === DATA) {
        connection.credit(facts.stream, facts.end - facts.start);
        connection.sendData(facts.stream, facts.bytes, facts);
      } else if (event === 11) break;
    }
    write();
  });
}

interface Reply {
  readonly fields: string[];
  readonly content: Buffer;
}

/** A node:http2 client asks our server. */
async function ask(
  session: http2.ClientHttp2Session,
  list: readonly string[],
  content: Buffer | null,
): Promise<Reply> {
  const method = content === null ? 'GET' : 'POST';
  const head = [':method', method, ':path', '/x', ...list];
  const stream = session.request(head as unknown as http2.OutgoingHttpHeaders, {
    endStream: content === null,
  });
  if (content !== null) stream.end(content);
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const [[, , fields]] = (await Promise.all([once(stream, 'response'), once(stream, 'end')])) as [
    [unknown, unknown, string[]],
    unknown,
  ];
  return { fields, content: Buffer.concat(chunks) };
}

describe('node:http2 as the client of our server', () => {
  it('gets back every field as it sent it, on a connection whose table fills up', async () => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    for (const list of LISTS) {
      const { fields } = await ask(session, list, null);
      expect(fields).toEqual([':status', '200', ...list]);
    }
    session.destroy();
  });

  it('gets back large content on many streams at once', async () => {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    const sizes = Array.from({ length: 30 }, (_, i) => i * 9973);
    const replies = await Promise.all(
      sizes.map((size) => ask(session, [], Buffer.alloc(size, size % 251))),
    );
    replies.forEach(({ content }, i) => {
      expect(content.equals(Buffer.alloc(sizes[i] as number, (sizes[i] as number) % 251))).toBe(
        true,
      );
    });
    session.destroy();
  });
});

describe('node:http2 as the server of our client', () => {
  it('sends every field back as we sent it, content and trailers too', async () => {
    const socket = net.connect((theirs.address() as net.AddressInfo).port, '127.0.0.1');
    const connection = new Http2Connection<null>({
      role: 'client',
      limits: DEFAULT_LIMITS,
      pool: POOL,
      isPathNormalised: true,
    });
    const heads = new Map<number, readonly string[]>();
    const contents = new Map<number, string>();
    const trailers = new Map<number, readonly string[]>();
    const write = (): void => {
      for (const chunk of connection.take()) socket.write(chunk);
      connection.flushed();
    };
    const send = (i: number): void => {
      const stream = connection.openStream(2 * i + 1, false);
      const pseudo = [':method', 'POST', ':scheme', 'http', ':authority', 'a.test', ':path', '/'];
      const fields = [...pseudo, ...(LISTS[i] as string[])];
      connection.sendHeaders(stream, { fields, kinds: null, from: 0 }, false);
      const content = Buffer.from(`content ${i} `.repeat(i * 50));
      connection.sendData(stream, content, { start: 0, end: content.length, isEndStream: true });
    };
    for (let i = 0; i < LISTS.length; i++) send(i);
    write();
    await new Promise<void>((resolve) => {
      socket.on('data', (chunk: Buffer) => {
        connection.receive(chunk, 0);
        for (let event = connection.next(); event !== NEED_MORE; event = connection.next()) {
          const { stream, fields, bytes, start, end } = connection.facts;
          if (event === HEAD) heads.set(stream.id, fields);
          else if (event === TRAILERS) trailers.set(stream.id, fields);
          else if (event === DATA) {
            contents.set(
              stream.id,
              (contents.get(stream.id) ?? '') + bytes.toString('latin1', start, end),
            );
            connection.credit(stream, end - start);
          } else expect([7, 8]).toContain(event);
        }
        write();
        if (trailers.size === LISTS.length) resolve();
      });
    });
    socket.destroy();
    LISTS.forEach((list, i) => {
      const fields = heads.get(2 * i + 1) ?? [];
      expect(fields.slice(0, 2 + list.length)).toEqual([':status', '200', ...list]);
      expect(contents.get(2 * i + 1) ?? '').toBe(`content ${i} `.repeat(i * 50));
      expect(trailers.get(2 * i + 1)?.slice(0, 2)).toEqual(['grpc-status', '0']);
    });
  });
});
