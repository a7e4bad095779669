/** Calls of every kind with @grpc/grpc-js, as client.go has scenes. Arguments: plain|gzip, a group, base URL. */
import { type Call, GrpcClient } from '../../support/grpc_peers.ts';

const [compression = '', , base = ''] = process.argv.slice(2);
const client = new GrpcClient(Number(new URL(base).port), { isCompressed: compression === 'gzip' });
const hello = Buffer.from('hello');

const SCENES: Readonly<Record<string, Call>> = {
  unary: { kind: 'unary', method: 'Echo', messages: [hello] },
  'an empty message': { kind: 'unary', method: 'Echo', messages: [Buffer.alloc(0)] },
  'metadata and trailers': {
    kind: 'unary',
    method: 'Echo',
    messages: [hello],
    metadata: { 'x-initial': 'a, b', 'x-trailing-bin': Buffer.from([0, 255, 1]) },
  },
  'a large message': { kind: 'unary', method: 'Echo', messages: [Buffer.alloc(3 << 20, 'x')] },
  'a status': { kind: 'unary', method: 'Fail', messages: [Buffer.from([5])] },
  'a status with words': {
    kind: 'unary',
    method: 'Fail',
    messages: [Buffer.from('\x07não: 50 %')],
  },
  'no such method': { kind: 'unary', method: 'None', messages: [hello] },
  'a deadline': {
    kind: 'unary',
    method: 'Sleep',
    messages: [hello],
    options: { deadline: Date.now() + 1_000 },
  },
  'client stream': {
    kind: 'clientStream',
    method: 'Count',
    messages: Array.from({ length: 50 }, (_, i) => Buffer.alloc(i * 100)),
  },
  'server stream': { kind: 'serverStream', method: 'Split', messages: [Buffer.from([1, 50, 200])] },
  'both ways': {
    kind: 'duplex',
    method: 'PingPong',
    messages: [hello, Buffer.alloc(70_000), hello],
  },
  cancelled: { kind: 'unary', method: 'Sleep', messages: [hello], cancelAfter: 0 },
  'cancelled in the middle': {
    kind: 'duplex',
    method: 'PingPong',
    messages: [hello],
    cancelAfter: 1,
  },
};

for (const [scene, call] of Object.entries(SCENES)) {
  const { code, details, metadata, trailers, messages } = await client.call(call);
  // How long it waited stands in the words of a deadline.
  const words = scene === 'a deadline' ? '' : details;
  console.log(`${scene}\t${JSON.stringify([code, words, metadata, trailers, messages])}`);
}
client.close();
