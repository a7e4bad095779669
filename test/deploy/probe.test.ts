/** The probe of the image against an admin server on a socket file. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AdminAddress, AdminServer } from '../../src/admin/admin_server.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { fakeBackend } from '../admin/fake_backend.ts';

const PROBE = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'deploy/image/probe');

let folder: string;
let socketPath: string;
let closing: (() => Promise<unknown>)[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-probe-'));
  socketPath = join(folder, 'admin.sock');
});

afterEach(async () => {
  await Promise.all(closing.map((close) => close()));
  closing = [];
  rmSync(folder, { recursive: true, force: true });
});

describe('sallyport-probe', () => {
  it.each([
    { what: 'live', options: {}, code: 0, err: '' },
    { what: 'ready', options: {}, code: 0, err: '' },
    {
      what: 'live',
      options: { liveness: { isLive: false, reason: 'no worker answers' } as const },
      code: 1,
      err: 'sallyport-probe: 503 no worker answers \n',
    },
    {
      what: 'ready',
      options: { readiness: { isReady: false, reason: 'draining' } as const },
      code: 1,
      err: 'sallyport-probe: 503 draining \n',
    },
  ])('$what: exit code $code, $err', async ({ what, options, code, err }) => {
    const server = new AdminServer({
      address: { kind: 'unix', path: socketPath } as AdminAddress,
      allowRemote: false,
      limits: DEFAULT_LIMITS,
      backend: fakeBackend(options),
    });
    closing.push(() => server.stop());
    await server.start();
    expect(await probe(what)).toEqual({ code, err });
  });

  it('fails where nobody listens', async () => {
    expect(await probe('live')).toEqual({ code: 1, err: expect.stringContaining('No such file') });
  });

  it('fails, escaped and bounded, where no admin server answers', async () => {
    const server = await listening((socket) => socket.end(`\u001b[2J${'x'.repeat(100_000)}`));
    expect(server.listening).toBe(true);
    expect(await probe('live')).toEqual({ code: 1, err: 'sallyport-probe: no answer\n' });
  });

  it('gives up on one that says nothing', async () => {
    await listening(() => {});
    expect(await probe('ready')).toEqual({ code: 1, err: 'sallyport-probe: no answer\n' });
  });

  it('tells how it is used', async () => {
    expect(await probe('drain')).toEqual({ code: 2, err: expect.stringMatching(/^usage: /) });
  });
});

async function listening(answer: (socket: Socket) => void): Promise<Server> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    answer(socket);
  });
  closing.push(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(socketPath);
  await once(server, 'listening');
  return server;
}

async function probe(what: string): Promise<{ code: number; err: string }> {
  const child = spawn(PROBE, [what, socketPath], { stdio: ['ignore', 'ignore', 'pipe'] });
  let err = '';
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, err };
}
