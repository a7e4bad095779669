/**
 * The origin of the benchmarks, with as little work as Node allows, so that the proxies are what is measured:
 * 34 bytes to every request whose content has come whole; /bytes/N gives N bytes.
 *
 *     node bench/peers/origin.ts
 */
import { type AddressInfo, createServer, type Socket } from 'node:net';

const CONTENT = Buffer.from('hello from the origin of the bench');
const BYTES_MAX = 16 * 1024 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');
/** No framing that we do not count; whoever sends it learns why. */
const REFUSAL = 'HTTP/1.1 411 Length Required\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';
const EMPTY = Buffer.alloc(0);

const replies = new Map<string, Buffer>();
const plainReply = replyOf(CONTENT);

const server = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer = EMPTY;
  let contentLeft = 0;
  let reply = plainReply;
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    let bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    rest = EMPTY;
    while (bytes.length > 0) {
      if (contentLeft === 0) {
        const end = bytes.indexOf(HEAD_END);
        if (end === -1) {
          rest = bytes;
          return;
        }
        const head = bytes.toString('latin1', 0, end);
        bytes = bytes.subarray(end + HEAD_END.length);
        contentLeft = contentLength(head, socket);
        reply = replyTo(head);
      }
      const taken = Math.min(contentLeft, bytes.length);
      contentLeft -= taken;
      bytes = bytes.subarray(taken);
      if (contentLeft === 0) socket.write(reply);
    }
  });
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

function contentLength(head: string, socket: Socket): number {
  if (head.startsWith('GET ')) return 0;
  if (/\r\ntransfer-encoding:/i.test(head)) socket.end(REFUSAL);
  return Number(/\r\ncontent-length: *([0-9]+)/i.exec(head)?.[1] ?? 0);
}

function replyTo(head: string): Buffer {
  const size = /^GET \/bytes\/([0-9]+) /.exec(head)?.[1];
  if (size === undefined) return plainReply;
  const known = replies.get(size) ?? replyOf(Buffer.alloc(Math.min(Number(size), BYTES_MAX), 'x'));
  replies.set(size, known);
  return known;
}

function replyOf(content: Buffer): Buffer {
  const head = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${content.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), content]);
}
