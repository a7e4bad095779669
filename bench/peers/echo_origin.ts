/**
 * The origin of WebSocket connections: takes any upgrade and sends back what comes after it, byte for byte. To
 * a proxy that is a tunnel, whatever the bytes are. A request without an upgrade gets 34 bytes.
 *
 *     node bench/peers/echo_origin.ts
 */
import { createHash } from 'node:crypto';
import { type AddressInfo, createServer } from 'node:net';

/** RFC 6455 1.3 */
const ACCEPT_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const HEAD_END = '\r\n\r\n';
const CONTENT = 'hello from the origin of the bench';
const PLAIN_REPLY = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${CONTENT.length}\r\n\r\n${CONTENT}`;

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  let head = '';
  const readHead = (chunk: Buffer): void => {
    head += chunk.toString('latin1');
    if (!head.includes(HEAD_END)) return;
    const key = /\r\nsec-websocket-key: *(\S+)/i.exec(head)?.[1];
    head = '';
    if (key === undefined) {
      socket.write(PLAIN_REPLY);
      return;
    }
    socket.off('data', readHead);
    socket.write(acceptance(key));
    socket.on('data', (bytes) => socket.write(bytes));
  };
  socket.on('data', readHead);
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

function acceptance(key: string): string {
  const accept = createHash('sha1').update(`${key}${ACCEPT_GUID}`).digest('base64');
  return `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`;
}
