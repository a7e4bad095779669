/**
 * The origin of WebSocket connections: takes any upgrade and sends back what comes after it, byte for byte. To
 * a proxy that is a tunnel, whatever the bytes are.
 */
import { type AddressInfo, createServer } from 'node:net';

const HEAD_END = '\r\n\r\n';
const SWITCHING =
  'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: bench\r\n\r\n';

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  let head = '';
  const readHead = (chunk: Buffer): void => {
    head += chunk.toString('latin1');
    if (!head.includes(HEAD_END)) return;
    socket.off('data', readHead);
    socket.write(SWITCHING);
    socket.on('data', (bytes) => socket.write(bytes));
  };
  socket.on('data', readHead);
});

server.listen(0, '127.0.0.1', () => {
  console.log(`listening http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
