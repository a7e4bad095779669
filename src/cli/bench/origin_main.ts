/**
 * The embedded origin of `sallyport bench`, in a process of its own: answers every HTTP/1.1 request
 * head with the same short content, as cheaply as Node can, so that it takes little of what is
 * measured. It lives as long as the channel to its parent.
 */
import { createServer, type Server, type Socket } from 'node:net';

const CONTENT = 'the origin of sallyport bench\n';
const HEAD = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${CONTENT.length}\r\n\r\n`;
const RESPONSE = Buffer.from(HEAD + CONTENT);
const HEAD_RESPONSE = Buffer.from(HEAD);
const HEAD_END = Buffer.from('\r\n\r\n');
const HEAD_METHOD = Buffer.from('HEAD ');
const NOTHING = Buffer.alloc(0);
const HEAD_BYTES_MAX = 1024 * 1024;

main();

function main(): void {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serve(socket);
  });
  // Ctrl-C reaches the whole group of processes; the parent ends us when it is done.
  process.on('SIGINT', () => {});
  process.on('disconnect', () => end(server, sockets));
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    process.send?.({ port: typeof address === 'object' ? address?.port : 0 });
  });
}

function serve(socket: Socket): void {
  let rest: Buffer = NOTHING;
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let at = rest.indexOf(HEAD_END); at !== -1; at = rest.indexOf(HEAD_END)) {
      const isHead = rest.subarray(0, HEAD_METHOD.length).equals(HEAD_METHOD);
      rest = rest.subarray(at + HEAD_END.length);
      socket.write(isHead ? HEAD_RESPONSE : RESPONSE);
    }
    if (rest.length > HEAD_BYTES_MAX) socket.destroy();
  });
}

function end(server: Server, sockets: ReadonlySet<Socket>): void {
  server.close();
  for (const socket of sockets) socket.destroy();
}
