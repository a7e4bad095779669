/** Orders and answers as of client.c, without `talk`, `peer`, `tie`, `many`, `time` and `mark`. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

for await (const line of createInterface({ input: process.stdin })) {
  const [order, ip, port] = line.split(' ');
  const asked = order === 'tcp' ? tcp(ip, Number(port)) : udp(ip, Number(port), order === 'udpc');
  console.log(await asked.catch((error) => `error ${-error.errno}`));
}

async function tcp(host, port) {
  const socket = connect({ host, port });
  await once(socket, 'connect');
  const peer = `peer ${socket.remoteAddress} ${socket.remotePort}`;
  let text = '';
  for await (const part of socket) text += part;
  return `${peer} said ${text}`;
}

async function udp(ip, port, isConnected) {
  const socket = createSocket(ip.includes(':') ? 'udp6' : 'udp4');
  try {
    const answered = once(socket, 'message');
    answered.catch(() => {});
    let peer = '';
    if (isConnected) {
      socket.connect(port, ip);
      await once(socket, 'connect');
      const { address, port: peerPort } = socket.remoteAddress();
      peer = ` peer ${address} ${peerPort}`;
      socket.send('?');
    } else {
      await new Promise((resolve, reject) => {
        socket.send('?', port, ip, (error) => (error ? reject(error) : resolve()));
      });
    }
    const [text, from] = await answered;
    return `from ${from.address} ${from.port}${peer} said ${text}`;
  } finally {
    socket.close();
  }
}
