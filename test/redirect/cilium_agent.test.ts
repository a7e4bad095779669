/** By what is seen that an agent of Cilium runs on a node, and what it only left behind. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { besideFound } from '../../src/cli/beside_cilium.ts';
import { type AgentPlaces, findAgent } from '../../src/redirect/host/cilium_agent.ts';

let folder: string;
let places: AgentPlaces;
let servers: Server[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-agent-'));
  places = {
    stateFolder: join(folder, 'run'),
    bpffs: join(folder, 'bpf'),
    procFolder: join(folder, 'proc'),
    netFolder: join(folder, 'net'),
    // Nobody listens there.
    healthPort: 1,
  };
  for (const one of [places.stateFolder, places.bpffs, places.procFolder, places.netFolder]) {
    mkdirSync(one);
  }
});

afterEach(async () => {
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  servers = [];
  rmSync(folder, { recursive: true, force: true });
});

function write(path: string, text = ''): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

async function listening(
  address: { path: string } | { port: number; host: string },
): Promise<number> {
  const server = createServer((socket) => socket.destroy());
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(address, resolve));
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : 0;
}

describe('an agent of Cilium', () => {
  it('on a node that never had one is not found', async () => {
    expect(await findAgent(places)).toEqual({ running: [], leftovers: [] });
  });

  it('runs when its API answers', async () => {
    await listening({ path: join(places.stateFolder, 'cilium.sock') });
    const { running } = await findAgent(places);
    expect(running).toEqual([`its API answers at ${join(places.stateFolder, 'cilium.sock')}`]);
  });

  it.each([
    ['its process', '/usr/bin/cilium-agent\0--config-dir=/tmp', ['its process 77 runs']],
    ['another program that has its number by now', '/usr/bin/cilium-agent-like\0', []],
  ])('by the number that it wrote down: %s', async (_about, command, expected) => {
    write('run/cilium.pid', '77\n');
    write('proc/77/cmdline', command);
    expect((await findAgent(places)).running).toEqual(expected);
  });

  it('runs when its health port answers and its interface is there, and for neither alone', async () => {
    const healthPort = await listening({ host: '127.0.0.1', port: 0 });
    const withPort = { ...places, healthPort };
    expect((await findAgent(withPort)).running).toEqual([]);
    write('net/cilium_host/ifindex', '2');
    expect((await findAgent(places)).running).toEqual([]);
    expect((await findAgent(withPort)).running).toEqual([
      `port ${healthPort} of loopback answers and interface cilium_host is there`,
    ]);
  });

  it('that is gone has left what it has left, and does not run', async () => {
    write('bpf/tc/globals/cilium_ipcache');
    write('bpf/tc/globals/cilium_ct4_global');
    write('bpf/tc/globals/another');
    write('bpf/cilium/devices');
    write('run/cilium.pid', '77');
    write('run/cilium.sock');
    write('net/cilium_host/ifindex', '2');
    expect(await findAgent(places)).toEqual({
      running: [],
      leftovers: [
        `3 pins below ${places.bpffs}`,
        'interface cilium_host',
        `${join(places.stateFolder, 'cilium.sock')}, where nobody answers`,
      ],
    });
  });
});

describe('beside an agent of Cilium', () => {
  const runs = { running: ['its process 77 runs'], leftovers: ['interface cilium_host'] };

  it('we refuse to start, and say why and what to do instead', () => {
    const { refusal } = besideFound(runs, 'refuse');
    expect(refusal).toMatch(/^Cilium’s agent runs on this node \(its process 77 runs\): /);
    expect(refusal).toContain('cilium.beside: chain');
  });

  it('we start where that is asked for, and where only leftovers are, and say so', () => {
    expect(besideFound(runs, 'chain')).toMatchObject({
      refusal: null,
      notes: [expect.stringContaining('both enforce policy')],
    });
    expect(besideFound({ ...runs, running: [] }, 'refuse')).toEqual({
      refusal: null,
      notes: [
        'an agent of Cilium that does not run has left interface cilium_host; a reboot removes it',
      ],
    });
    expect(besideFound({ running: [], leftovers: [] }, 'refuse')).toEqual({
      refusal: null,
      notes: [],
    });
  });
});
