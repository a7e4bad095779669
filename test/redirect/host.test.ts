/** What is read from and written to the node by iproute2. */
import { describe, expect, it } from 'vitest';
import { nodeCommands } from '../../src/redirect/host/command.ts';
import { LinkNews, parseLink } from '../../src/redirect/host/link_monitor.ts';
import { linksStamp, readLinks } from '../../src/redirect/host/links.ts';
import { Routing } from '../../src/redirect/host/routing.ts';
import { FakeIp } from './fake_node.ts';

const OPTIONS = { table: 2005, priority: 90, hasIpv6: () => true };

describe('rules and routes', () => {
  it('are set for both families, the rule that leads to the route last', async () => {
    const ip = new FakeIp();
    const { done, problems } = await new Routing(ip.run, OPTIONS).ensure();
    expect(problems).toEqual([]);
    expect(done).toHaveLength(8);
    expect(ip.calls.filter((call) => call.startsWith('-4'))).toEqual([
      '-4 rule add priority 91 fwmark 0x200/0xf00 blackhole',
      '-4 route add local default dev lo table 2005',
      '-4 rule add priority 89 iif lo fwmark 0x200/0xf00 goto 32766',
      '-4 rule add priority 90 fwmark 0x200/0xf00 lookup 2005',
    ]);
  });

  it('are set once: the second time nothing is done', async () => {
    const ip = new FakeIp();
    const routing = new Routing(ip.run, OPTIONS);
    await routing.ensure();
    ip.calls.length = 0;
    expect(await routing.ensure()).toEqual({ done: [], problems: [] });
    expect(ip.calls).toEqual([]);
    expect(await routing.check()).toEqual({ missing: [], problems: [] });
  });

  it('that somebody took away are missing, and come back', async () => {
    const ip = new FakeIp();
    const routing = new Routing(ip.run, OPTIONS);
    await routing.ensure();
    ip.rules[6] = ip.rules[6].filter(({ priority }) => priority !== 90);
    expect((await routing.check()).missing).toEqual([
      'IPv6 rule priority 90 fwmark 0x200/0xf00 lookup 2005',
    ]);
    expect((await routing.ensure()).done).toHaveLength(1);
  });

  it('are taken away, the rule before the route, and nothing of others', async () => {
    const ip = new FakeIp();
    const cilium = { priority: 9, src: 'all', fwmark: '0x200', fwmask: '0xf00', table: '2004' };
    ip.rules[4].push(cilium);
    const routing = new Routing(ip.run, OPTIONS);
    await routing.ensure();
    ip.calls.length = 0;
    expect((await routing.remove()).done).toHaveLength(8);
    expect(ip.calls[0]).toBe('-4 rule del priority 90 fwmark 0x200/0xf00 lookup 2005');
    expect(ip.calls[2]).toBe('-4 route del local default dev lo table 2005');
    expect(ip.rules[4]).toContain(cilium);
    expect(ip.routes[4].size).toBe(0);
    expect((await routing.remove()).done).toEqual([]);
  });

  it('take nothing to the node where lo has no IPv6: what is marked goes nowhere', async () => {
    const ip = new FakeIp();
    const routing = new Routing(ip.run, { ...OPTIONS, hasIpv6: () => false });
    expect((await routing.ensure()).problems).toEqual([]);
    expect(ip.routes[6].size).toBe(0);
    expect(ip.rules[6]).toContainEqual(expect.objectContaining({ action: 'blackhole' }));
    expect(await routing.check()).toEqual({ missing: [], problems: [] });
  });

  it.each([89, 90, 91])('do not take the place %i of a rule of somebody else', async (priority) => {
    const ip = new FakeIp();
    ip.rules[4].push({ priority, src: '10.0.0.0', table: '7' });
    const { problems } = await new Routing(ip.run, OPTIONS).ensure();
    expect(problems).toEqual([expect.stringContaining(`rule priority ${priority} is taken`)]);
    expect(ip.calls.filter((call) => call.startsWith('-4'))).toEqual([]);
  });

  it('are set for IPv4 alone where there is no IPv6', async () => {
    const ip = new FakeIp();
    ip.hasIpv6 = false;
    const { done, problems } = await new Routing(ip.run, OPTIONS).ensure();
    expect([done.length, problems]).toEqual([4, []]);
  });
});

describe('interfaces and addresses', () => {
  it('are those of `ip -j address`', async () => {
    const ip = new FakeIp();
    ip.links.set('lo', { index: 1, ips: ['127.0.0.1'], isUp: true });
    ip.links.set('lxc1', { index: 7, ips: ['10.0.0.1', 'fe80::1'], isUp: true });
    ip.links.set('lxc2', { index: 8, ips: ['10.0.0.1'], isUp: false });
    const result = await readLinks(ip.run);
    expect(result).toEqual({
      kind: 'links',
      links: {
        ports: new Set(),
        masters: new Map(),
        bridges: new Set(),
        linkAddresses: new Map(),
        bare: new Set(),
        interfaces: new Map([
          ['lo', 1],
          ['lxc1', 7],
          ['lxc2', 8],
        ]),
        addresses: ['10.0.0.1', '127.0.0.1', 'fe80::1'],
        isLoopbackUp: true,
      },
    });
  });

  it.each(['', '{', '{}', '[]', '[1, null]'])(
    'that are no list of interfaces are an error: %j',
    async (stdout) => {
      const result = await readLinks(async () => ({ code: 0, stdout, stderr: '' }));
      expect(result).toMatchObject({
        kind: 'error',
        message: expect.stringMatching(/^ip address/),
      });
    },
  );
});

describe('a program of the node', () => {
  const run = nodeCommands({ commandTimeoutMs: 200, commandOutputBytesMax: 1000 });

  it('that is not there is a result that says so', async () => {
    expect(await run('no-such-program-here', [])).toEqual({
      code: 127,
      stdout: '',
      stderr: 'there is no program no-such-program-here here',
    });
  });

  it('that does not end is ended', async () => {
    const { code, stderr } = await run('sleep', ['60']);
    expect([code, stderr]).toEqual([127, 'sleep did not end in time']);
  });

  it('that says too much is ended', async () => {
    expect((await run('yes', [])).code).not.toBe(0);
  });
});

describe('the stamp of the interfaces', () => {
  it('is the same as long as nothing changes, and names what is there', () => {
    const stamp = linksStamp();
    expect(stamp).toMatch(/^lo$/m);
    expect(linksStamp()).toBe(stamp);
  });
});

describe('links that are told of', () => {
  const ETHER = '<BROADCAST> mtu 1500 \\    link/ether 7a:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff';
  it.each([
    [
      `12: lxc7@if2: ${ETHER}`,
      { ifindex: 12, name: 'lxc7', isGone: false, address: '7a:00:00:00:00:01' },
    ],
    [
      `3: eth0: ${ETHER}`,
      { ifindex: 3, name: 'eth0', isGone: false, address: '7a:00:00:00:00:01' },
    ],
    ['9: wg0: <NOARP> mtu 1420 \\    link/none ', { address: null, name: 'wg0' }],
    [`Deleted 12: lxc7@if2: ${ETHER}`, { ifindex: 12, isGone: true }],
  ])('%s', (line, expected) => {
    expect(parseLink(line)).toMatchObject(expected);
  });

  it.each(['', 'Timestamp: now', '12: ', 'lxc7: 12'])('%j is none', (line) => {
    expect(parseLink(line)).toBeNull();
  });

  it('are news once, under each name, until they go', () => {
    const news = new LinkNews();
    const link = {
      ifindex: 12,
      name: 'veth1',
      master: null,
      isGone: false,
      address: '7a:00:00:00:00:01',
    };
    const asked = [link, link, { ...link, name: 'lxc7' }, { ...link, name: 'lxc7' }];
    expect(asked.map((one) => news.take(one))).toEqual([true, false, true, false]);
    const port = { ...link, name: 'lxc7', master: 'cni0' };
    expect(news.take(port)).toBe(true);
    expect(news.take({ ...port, address: '7a:00:00:00:00:02' })).toBe(true);
    expect(news.take({ ...link, isGone: true })).toBe(true);
    expect(news.take(link)).toBe(true);
  });
});
