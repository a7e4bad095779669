/**
 * autocannon in a process of its own, on the core of the load; tells its result as one line of JSON.
 *
 *     node bench/loads/autocannon_main.ts OPTIONS
 */
import autocannon from 'autocannon';
import { type CannonCall, resultOf } from './autocannon.ts';

const call: CannonCall = JSON.parse(process.argv[2] ?? '');
const { url, seconds, options } = call;
const result = await autocannon({
  url: `${url}${options.path}`,
  duration: seconds,
  connections: options.connections,
  pipelining: options.pipelining ?? 1,
  method: options.method ?? 'GET',
  headers: { ...options.headers },
  timeout: 20,
  ...(options.uploadBytes !== undefined && { body: Buffer.alloc(options.uploadBytes, 'x') }),
  ...(options.workers !== undefined && { workers: options.workers }),
  ...(options.requestsPerSecond !== undefined && { overallRate: options.requestsPerSecond }),
});
console.log(JSON.stringify(resultOf(result, options)));
