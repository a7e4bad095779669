/**
 * DNS questions of pods, taken by the kernel's redirect, judged by name and answered from the address that was asked:
 * by real resolvers, over both families and protocols.
 */
import { execFile, execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readCounters } from '../../../src/redirect/kernel/counters.ts';
import { openPinnedMap } from '../../../src/redirect/kernel/pinned.ts';
import { COUNTERS, type CounterName, LAYOUT_VERSION } from '../../../src/redirect/layout.ts';
import { message, question } from '../../support/dns_messages.ts';
import { until } from '../../support/until.ts';
import { NameServer } from './name_server.ts';
import type { Netns } from './netns.ts';
import { type Command, RedirectRig } from './rig.ts';

const TIMEOUT_MS = 300_000;
const WEB = { 4: '10.8.0.2', 6: 'fd08::2' } as const;
const JOB = { 4: '10.8.0.3', 6: 'fd08::3' } as const;
const DNS = { 4: '10.8.0.53', 6: 'fd08::53' } as const;
const WORLD = { 4: '203.0.113.53', 6: '2001:db8::53' } as const;
/** The node's own addresses (rig.ts). */
const NODE = { 4: '100.64.0.1', 6: 'fd00:64::1' } as const;
const FAMILIES = [4, 6] as const;
const REFUSED = 5;
/** A datagram that nobody answers is sent again. */
const RESEND_MS = 300;
const RESOLVER = fileURLToPath(new URL('name_clients/resolve.c', import.meta.url));

const run = promisify(execFile);

const DNS_PORT = { port: '53', protocol: 'ANY' };

const to53 = (...names: readonly string[]): unknown => ({
  ports: [DNS_PORT],
  rules: {
    dns: names.map((name) => (name.includes('*') ? { matchPattern: name } : { matchName: name })),
  },
});

const policy = (app: string, egress: readonly unknown[]): string =>
  JSON.stringify({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: app, namespace: 'shop' },
    spec: { endpointSelector: { matchLabels: { app } }, egress },
  });

const TO_DNS = { toEndpoints: [{ matchLabels: { app: 'dns' } }] };
const TO_WORLD = { toCIDR: [`${WORLD[4]}/32`, `${WORLD[6]}/128`] };

/** web may ask our server and one of the world, each for something else; job asks for its own. */
const POLICIES = [
  policy('web', [
    { ...TO_DNS, toPorts: [to53('api.example.com', '*.example.net')] },
    { ...TO_WORLD, toPorts: [to53('api.example.org')] },
    { toEntities: ['host'], toPorts: [to53('node.example.com')] },
  ]),
  policy('job', [{ ...TO_DNS, toPorts: [to53('job.example.com')] }]),
];

let rig: RedirectRig;
let first: Command;
const ours = new NameServer('192.0.2.1');
const worlds = new NameServer('192.0.2.2');
const nodes = new NameServer('192.0.2.3');

beforeAll(async () => {
  rig = new RedirectRig({
    pods: [
      { name: 'shop/web', ips: Object.values(WEB), labels: { app: 'web' } },
      { name: 'shop/job', ips: Object.values(JOB), labels: { app: 'job' } },
      { name: 'shop/dns', ips: Object.values(DNS), labels: { app: 'dns' } },
    ],
    outside: Object.values(WORLD),
    policies: POLICIES,
    workers: 2,
    // Of IPv6 the datagrams have a listener of their own; of IPv4 the one for everything takes them.
    listeners: [
      '{ name: names-6, protocol: dns, address: "[::1]:15053", direction: by-record, identity: [redirect-record] }',
    ],
  });
  for (const family of FAMILIES) {
    await ours.listen(rig.pod('shop/dns').netns, DNS[family]);
    await worlds.listen(rig.outside, WORLD[family]);
    await nodes.listen(rig.node, NODE[family]);
  }
  await rig.follow();
  first = await rig.proxy();
}, TIMEOUT_MS);

beforeEach(() => {
  ours.heard.length = 0;
  worlds.heard.length = 0;
  nodes.heard.length = 0;
});

afterAll(async () => {
  ours.close();
  worlds.close();
  nodes.close();
  await rig?.dispose();
}, TIMEOUT_MS);

/** What a pod's `dig` says: status, and addresses. */
function dig(pod: string, server: string, name: string, ...flags: readonly string[]) {
  return digIn(rig.pod(pod).netns, server, name, ...flags);
}

async function digIn(
  netns: Netns,
  server: string,
  name: string,
  ...flags: readonly string[]
): Promise<string> {
  const options = ['+tries=5', '+time=10', '+nocookie', ...flags];
  const [program = '', ...args] = netns.command(['dig', `@${server}`, ...options, name, 'A']);
  const { stdout } = await run(program, args).catch((error: { stdout: string }) => error);
  const status = /status: ([A-Z]+)/.exec(stdout)?.[1] ?? stdout;
  const addresses = [...stdout.matchAll(/\sIN\sA\s([0-9.]+)/g)].map(([, address]) => address);
  expect(stdout).not.toContain('unexpected source');
  return [status, ...addresses].join(' ');
}

/** What the kernel has counted. */
function counted(name: CounterName): bigint {
  const map = openPinnedMap(join(rig.pinRoot, `v${LAYOUT_VERSION}`, 'maps', 'counters'));
  try {
    return BigInt(readCounters(map, COUNTERS)[name]);
  } finally {
    map.close();
  }
}

/** Does it now, and every now and then until the returned function is called. */
function resent(send: () => void): () => void {
  send();
  const timer = setInterval(send, RESEND_MS);
  return () => clearInterval(timer);
}

/** The resolver of a C library, which asks all servers of the pod's resolv.conf. */
function resolver(compiler: string, flags: readonly string[]): (name: string) => Promise<string> {
  const program = join(rig.dir, `${compiler}-resolve`);
  execFileSync(compiler, ['-O2', '-Wall', ...flags, RESOLVER, '-o', program], { stdio: 'pipe' });
  const servers = [DNS[4], DNS[6]].map((ip) => `nameserver ${ip}\n`).join('');
  writeFileSync(join(rig.dir, 'resolv.conf'), `${servers}options attempts:5 timeout:3\n`);
  const mount = `mount --bind ${join(rig.dir, 'resolv.conf')} /etc/resolv.conf && exec ${program} "$1"`;
  return async (name) => {
    const inside = ['unshare', '-m', 'sh', '-c', mount, 'sh', name];
    const [command = '', ...args] = rig.pod('shop/web').netns.command(inside);
    const { stdout } = await run(command, args).catch((error: { stdout: string }) => error);
    return stdout.trim();
  };
}

describe.each(FAMILIES)('a question over IPv%s', (family) => {
  it('is judged by its name, and what is denied reaches nobody', async () => {
    expect(await dig('shop/web', DNS[family], 'api.example.com')).toBe('NOERROR 192.0.2.1');
    expect(await dig('shop/web', DNS[family], 'a.example.net')).toBe('NOERROR 192.0.2.1');
    expect(await dig('shop/web', DNS[family], 'evil.example.com')).toBe('REFUSED');
    expect(ours.heard.map(({ name }) => name)).toEqual(['api.example.com', 'a.example.net']);
    expect(ours.heard.map(({ from }) => from)).toEqual([WEB[family], WEB[family]]);
  });

  it('is judged by who asks', async () => {
    expect(await dig('shop/job', DNS[family], 'api.example.com')).toBe('REFUSED');
    expect(await dig('shop/job', DNS[family], 'job.example.com')).toBe('NOERROR 192.0.2.1');
  });

  it('is judged by who is asked', async () => {
    expect(await dig('shop/web', WORLD[family], 'api.example.org')).toBe('NOERROR 192.0.2.2');
    expect(await dig('shop/web', WORLD[family], 'api.example.com')).toBe('REFUSED');
    expect(await dig('shop/web', DNS[family], 'api.example.org')).toBe('REFUSED');
  });

  it('may go to the node’s own server, which hears the others who ask it as before', async () => {
    expect(await dig('shop/web', NODE[family], 'node.example.com')).toBe('NOERROR 192.0.2.3');
    expect(await dig('shop/web', NODE[family], 'api.example.com')).toBe('REFUSED');
    expect(await digIn(rig.node, NODE[family], 'x.example')).toBe('NOERROR 192.0.2.3');
    expect(nodes.heard.map(({ name }) => name)).toEqual(['node.example.com', 'x.example']);
  });
});

describe.each(FAMILIES)('a question over IPv%s, by other ways,', (family) => {
  it('goes to each of two servers that one socket asks at once, and comes back from each', async () => {
    const socket = await rig.pod('shop/web').netns.udp({ ip: WEB[family], port: 0 });
    const rcodes: Record<string, number> = {};
    socket.on('message', (bytes, from) => {
      rcodes[from.address] = bytes.readUInt16BE(2) & 0xf;
    });
    const asked = message({ id: 7, questions: [question('api.example.com')] });
    const stop = resent(() => {
      socket.send(asked, 53, DNS[family]);
      socket.send(asked, 53, WORLD[family]);
    });
    await until(() => Object.keys(rcodes).length === 2);
    stop();
    socket.close();
    expect(rcodes).toEqual({ [DNS[family]]: 0, [WORLD[family]]: REFUSED });
    expect(worlds.heard).toEqual([]);
  });

  it('is judged by TCP as well, each on a connection of many', async () => {
    expect(await dig('shop/web', DNS[family], 'api.example.com', '+tcp')).toBe('NOERROR 192.0.2.1');
    expect(await dig('shop/web', DNS[family], 'evil.example.com', '+tcp')).toBe('REFUSED');
    expect(await dig('shop/web', WORLD[family], 'api.example.org', '+tcp')).toBe(
      'NOERROR 192.0.2.2',
    );
    expect(ours.heard).toEqual([{ name: 'api.example.com', transport: 'tcp', from: WEB[family] }]);
  });

  it('is asked again by TCP when the answer is too long', async () => {
    ours.isTruncating = true;
    expect(await dig('shop/web', DNS[family], 'api.example.com')).toBe('NOERROR 192.0.2.1');
    ours.isTruncating = false;
    const ways = new Set(ours.heard.map(({ transport }) => transport));
    expect([...ways]).toEqual(['udp', 'tcp']);
  });

  it('in another pod’s name goes nowhere', async () => {
    const { netns } = rig.pod('shop/job');
    netns.ip(`addr add ${WEB[family]}/${family === 4 ? 32 : 128} dev lo`);
    const before = counted('foreign-source');
    const socket = await netns.udp({ ip: WEB[family], port: 5353 });
    const stop = resent(() =>
      socket.send(message({ id: 7, questions: [question('api.example.com')] }), 53, DNS[family]),
    );
    await until(() => counted('foreign-source') > before);
    stop();
    socket.close();
    netns.ip(`addr del ${WEB[family]}/${family === 4 ? 32 : 128} dev lo`);
    expect(ours.heard).toEqual([]);
  });
});

describe('datagrams', () => {
  it.each([
    [4, 'redirected-4'],
    [6, 'names-6'],
  ] as const)('of IPv%s are those of the listener %s', async (family, listener) => {
    // Lines come some time after what they tell of: this one has a name of its own.
    const name = `listener-${family}.example.net`;
    await dig('shop/web', DNS[family], name);
    const line = await first.until((one) => JSON.stringify(one).includes(name));
    expect(line).toMatchObject({ listener, verdict: 'forwarded' });
  });
});

/** What the device is to make many of: the kernel's programs see one packet (UDP_SEGMENT, linux/udp.h). */
const SEND_SEGMENTED = `
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setsockopt(17, 103, 32)
for _ in range(1000): sender.sendto(b'\\xff' * 32 * 64, (sys.argv[1], 53))
`;

describe('datagrams that leave in one packet', () => {
  it('are counted one by one: a pod has no more of them than of others', () => {
    const before = counted('rate-limited');
    rig.pod('shop/job').netns.run(['python3', '-c', SEND_SEGMENTED, DNS[4]]);
    expect(counted('rate-limited')).toBeGreaterThan(before);
  });
});

describe('resolvers', () => {
  it.each([
    ['glibc', 'gcc', []],
    ['musl', 'musl-gcc', ['-static']],
  ])('find allowed names and no others: %s', async (_, compiler, flags) => {
    const look = resolver(compiler, flags);
    expect(await look('api.example.com')).toBe('192.0.2.1');
    expect(await look('evil.example.com')).toBe('');
  });
});

describe('a proxy that goes', () => {
  const answered = new Set<number>();
  let asked = 0;

  /** Asks a new question every few milliseconds, and each again until it is answered, as resolvers do. */
  async function asking(): Promise<() => void> {
    const socket = await rig.pod('shop/web').netns.udp({ ip: WEB[4], port: 0 });
    socket.on('message', (bytes) => {
      if ((bytes.readUInt16BE(2) & 0xf) === 0) answered.add(bytes.readUInt16BE(0));
    });
    const stops: (() => void)[] = [];
    const timer = setInterval(() => {
      const id = asked++;
      const bytes = message({ id, questions: [question('api.example.com')] });
      const stop = resent(() => {
        if (answered.has(id)) stop();
        else socket.send(bytes, 53, DNS[4]);
      });
      stops.push(stop);
    }, 5);
    return () => {
      clearInterval(timer);
      for (const stop of stops) stop();
      socket.close();
    };
  }

  it('leaves no question behind, by a drain or by its death; and nothing passes while there is none', async () => {
    const stop = await asking();
    const progress = async (): Promise<void> => {
      const from = asked;
      await until(() => asked > from + 20 && answered.size === asked);
    };
    await progress();
    const second = await rig.proxy();
    first.kill('SIGTERM');
    await first.ended;
    await progress();
    const third = await rig.proxy();
    third.kill('SIGKILL');
    await third.ended;
    await progress();
    const before = counted('no-listener');
    second.kill('SIGKILL');
    await second.ended;
    await until(() => counted('no-listener') > before + 10n);
    expect(answered.size).toBeLessThan(asked);
    first = await rig.proxy();
    await progress();
    stop();
  });
});

describe('a port that has no names to judge any more', () => {
  it.each(FAMILIES)(
    'is the node’s own server’s again, also for whom a proxy served: IPv%s',
    async (family) => {
      rig.writePolicies(POLICIES);
      const socket = await rig.pod('shop/web').netns.udp({ ip: WEB[family], port: 0 });
      let answerCount = 0;
      socket.on('message', (bytes) => {
        if ((bytes.readUInt16BE(2) & 0xf) === 0) answerCount++;
      });
      const answered = async (isMet = (): boolean => true): Promise<void> => {
        const before = answerCount;
        const asked = message({ id: 7, questions: [question('node.example.com')] });
        const stop = resent(() => socket.send(asked, 53, NODE[family]));
        await until(() => answerCount > before && isMet());
        stop();
      };
      const proxy = await rig.proxy();
      const before = counted('redirected');
      await answered(() => counted('redirected') > before);
      first.kill('SIGKILL');
      proxy.kill('SIGKILL');
      await Promise.all([first.ended, proxy.ended]);
      rig.writePolicies([
        policy('web', [{ toEntities: ['host'], toPorts: [{ ports: [DNS_PORT] }] }]),
      ]);
      await answered();
      socket.close();
      first = await rig.proxy();
    },
  );
});
