import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { type FixedRateOrder, runFixedRate } from '../../../bench/loads/fixed_rate_client.ts';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(onRequest: (socket: Socket, count: number) => void): Promise<number> {
  let count = 0;
  const server = createServer((socket) => {
    socket.on('data', () => onRequest(socket, ++count));
    socket.on('error', () => {});
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function order(port: number, changes: Partial<FixedRateOrder> = {}): FixedRateOrder {
  return {
    host: '127.0.0.1',
    port,
    path: '/',
    connections: 4,
    requestsPerSecond: 500,
    warmUpSeconds: 0,
    seconds: 0.4,
    statusExpected: 200,
    ...changes,
  };
}

describe('requests by a timetable', () => {
  it('are as many as were due, whatever the answers did', async () => {
    const port = await serve((socket) => socket.write(ANSWER));
    const result = await runFixedRate(order(port));
    expect(result.failures).toBe(0);
    expect(result.requests).toBeGreaterThanOrEqual(199);
    expect(result.requests).toBeLessThanOrEqual(200);
    expect(result.contentBytes).toBe(result.requests * 2);
  });

  it('have waited while the server stood still, all that were due meanwhile', async () => {
    const stillMs = 200;
    const port = await serve((socket, count) => {
      if (count === 20) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stillMs);
      socket.write(ANSWER);
    });
    // The server is in this process: the load stands still with it, and may not take that for no time.
    const { latencyMicros, requests } = await runFixedRate(order(port));
    expect(requests).toBeGreaterThanOrEqual(199);
    expect(latencyMicros.max).toBeGreaterThan(stillMs * 950);
    // 100 of 200 were due in these 200 ms, so a quarter waited for more than 100 ms.
    expect(latencyMicros.p90).toBeGreaterThan(stillMs * 500);
  });

  it('that are never answered are failures, and the run ends', async () => {
    const port = await serve((socket, count) => {
      if (count <= 10) socket.write(ANSWER);
    });
    const { requests, failures } = await runFixedRate(order(port, { seconds: 0.2 }));
    expect(requests).toBe(10);
    // One on each of the connections, and those that were due and could not be sent.
    expect(requests + failures).toBeGreaterThanOrEqual(99);
  });

  it('with another status, or on a connection that is lost, are failures', async () => {
    const port = await serve((socket, count) => {
      if (count === 3) socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
      else if (count === 6) socket.destroy();
      else socket.write(ANSWER);
    });
    const { requests, failures } = await runFixedRate(order(port));
    expect(failures).toBe(2);
    expect(requests).toBeGreaterThanOrEqual(197);
  });

  it('go on when a server closes after an answer', async () => {
    const port = await serve((socket, count) => {
      if (count % 10 === 0) socket.end(ANSWER.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
      else socket.write(ANSWER);
    });
    const { requests, failures } = await runFixedRate(order(port));
    expect(failures).toBe(0);
    expect(requests).toBeGreaterThanOrEqual(199);
  });
});

describe('as many requests as go', () => {
  it('are one after the other on each connection', async () => {
    let open = 0;
    let most = 0;
    const port = await serve((socket) => {
      most = Math.max(most, ++open);
      setImmediate(() => {
        open--;
        socket.write(ANSWER);
      });
    });
    const result = await runFixedRate(order(port, { requestsPerSecond: null, seconds: 0.2 }));
    expect(result.failures).toBe(0);
    expect(result.requests).toBeGreaterThan(4);
    expect(most).toBeLessThanOrEqual(4);
  });
});
