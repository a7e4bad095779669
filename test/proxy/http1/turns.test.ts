/**
 * What is written at the end of a turn of the event loop, and what else is read in the same turn: the two sockets
 * are made readable before either is read.
 */
import { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { closeRigs, type Rig, startRig } from '../../support/plane_rig.ts';
import type { RawClient } from '../../support/raw_client.ts';
import { OK, type OriginConnection } from '../../support/raw_origin.ts';
import { until } from '../../support/until.ts';

const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';
const CONTENT = 'x'.repeat(8000);

const undo: (() => void)[] = [];
afterEach(async () => {
  for (const task of undo.splice(0)) task();
  await closeRigs();
});

describe('an answer that is read before the request has left', () => {
  it('is none: a request without content is sent again, on another connection', async () => {
    const { rig, client, origin } = await served();
    client.send(GET);
    origin.send(OK);
    await inOneTurn();
    const next = await rig.origin.connection(1);
    await next.until('\r\n\r\n');
    expect(client.received).not.toContain('ok'.repeat(2));
    next.send('HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes');
    await client.until('yes');
    expect(client.received.split('HTTP/1.1').length).toBe(3);
  });

  it('is none: a request with content fails, and is not told as forwarded', async () => {
    const { rig, client, origin } = await served();
    const post = `POST /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${CONTENT.length}\r\n\r\n`;
    client.send(post + CONTENT);
    origin.send(OK);
    await inOneTurn();
    await client.over();
    expect(client.received.slice(OK.length)).toMatch(/^HTTP\/1\.1 50[23] /);
    expect(rig.recorder.summaries.at(-1)).toMatch(/^error unsolicited-response/);
  });
});

it('a client is read again when the connection that could take no more of its request is gone', async () => {
  const { rig, client, origin } = await served({ bufferBytesMax: 4096 });
  const stuck = stuckWrites(rig.origin.port);
  const head = `POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: ${CONTENT.length}\r\n\r\n`;
  client.send(head);
  await until(() => stuck.count > 0);
  client.send(`${CONTENT}GET /a HT`);
  origin.send(OK);
  await inOneTurn();
  await client.until('ok', 2);
  stuck.release();
  origin.reset();
  await until(() => origin.isClosed);
  client.send('TP/1.1\r\nhost: x\r\n\r\n');
  const next = await rig.origin.connection(1);
  await next.until('GET /a HTTP/1.1');
});

it('an exception at the end of a turn is ours, and ends that connection', async () => {
  const { rig, client } = await served();
  const real = Socket.prototype.write;
  const bug = new Error('a bug');
  Socket.prototype.write = function write(this: Socket, ...args: unknown[]): boolean {
    if (this.remotePort === rig.origin.port) throw bug;
    return Reflect.apply(real, this, args) as boolean;
  } as typeof real;
  undo.push(() => {
    Socket.prototype.write = real;
  });
  client.send(GET);
  await client.over();
  expect(rig.takeInternalErrors()).toEqual([bug]);
  expect(rig.recorder.summaries.at(-1)).toMatch(/^error internal-error/);
});

/** One request has been answered; both connections are kept. */
async function served(limits: { readonly bufferBytesMax?: number } = {}): Promise<{
  readonly rig: Rig;
  readonly client: RawClient;
  readonly origin: OriginConnection;
}> {
  const rig = await startRig({ limits });
  const client = await rig.client();
  client.send(GET);
  const origin = await rig.origin.connection(0);
  await origin.until('\r\n\r\n');
  origin.send(OK);
  await client.until('ok');
  return { rig, client, origin };
}

/** Until what was just sent, by either side, is there to be read: nothing of it is read before. */
async function inOneTurn(): Promise<void> {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
}

/** A peer that does not read: the kernel takes nothing that goes to this port. */
function stuckWrites(port: number): { readonly count: number; release(): void } {
  const prototype = Socket.prototype as unknown as { _writeGeneric: (...args: unknown[]) => void };
  const real = prototype._writeGeneric;
  let count = 0;
  let isStuck = true;
  prototype._writeGeneric = function stuck(this: Socket, ...args: unknown[]): void {
    if (isStuck && this.remotePort === port) count++;
    else Reflect.apply(real, this, args);
  };
  undo.push(() => {
    prototype._writeGeneric = real;
  });
  return {
    get count() {
      return count;
    },
    release: () => {
      isStuck = false;
    },
  };
}
