/**
 * The origin of the benchmarks: answers every complete HTTP/1.1 request head with the same 34-byte
 * content, with as little work as Node allows, so that the proxies are what is measured.
 */
import { createServer } from 'node:net';

const CONTENT = 'hello from the origin of the bench';
const RESPONSE = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${CONTENT.length}\r\n\r\n${CONTENT}`,
);
const HEAD_END = Buffer.from('\r\n\r\n');

const server = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(HEAD_END); end !== -1; end = rest.indexOf(HEAD_END)) {
      rest = rest.subarray(end + HEAD_END.length);
      socket.write(RESPONSE);
    }
  });
});

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  console.log(`listening http://127.0.0.1:${port}`);
});
