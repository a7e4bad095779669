/** Which interfaces are taken for those by which other machines send: from routes that root made, never a pod's. */
import { describe, expect, it } from 'vitest';
import { RedirectLoader } from '../../src/cli/redirect/loader.ts';
import type { Config } from '../../src/config/config.ts';
import { uplinksOf } from '../../src/redirect/host/uplinks.ts';
import { streetNode } from './street_node.ts';

describe('uplinks in routes', () => {
  it.each([
    ['a default route', { dst: 'default', gateway: '192.0.2.1', dev: 'eth0' }, ['eth0']],
    ['a default route without a gateway', { dst: 'default', dev: 'ppp0' }, ['ppp0']],
    ['pods of another node', { dst: '10.1.0.0/24', gateway: '192.0.2.9', dev: 'eth0' }, ['eth0']],
    [
      'pods of another node by an overlay',
      { dst: '10.1.0.0/24', gateway: '10.1.0.0', dev: 'flannel.1', flags: ['onlink'] },
      ['flannel.1'],
    ],
    [
      'a gateway of the other family',
      { dst: '10.0.0.0/8', via: { family: 'inet6' }, dev: 'a' },
      ['a'],
    ],
    [
      'several ways',
      { dst: 'default', nexthops: [{ gateway: '192.0.2.1', dev: 'a' }, { dev: 'b' }] },
      ['a', 'b'],
    ],
    [
      'several ways, one of them to a neighbour',
      { dst: '10.9.0.0/16', nexthops: [{ gateway: '192.0.2.1', dev: 'a' }, { dev: 'b' }] },
      ['a'],
    ],
    ['the subnet of a bridge', { dst: '10.0.0.0/24', dev: 'cni0', scope: 'link' }, []],
    ['the address of a pod', { dst: '10.0.0.5', dev: 'veth1', scope: 'link' }, []],
    ['what nobody is to reach', { type: 'blackhole', dst: 'default', dev: 'eth0' }, []],
    ['the loopback', { dst: 'default', dev: 'lo' }, []],
    [
      'a router advertisement',
      { dst: 'default', gateway: 'fe80::1', dev: 'a', protocol: 'ra' },
      [],
    ],
    ['a redirect', { dst: '10.0.0.9', gateway: '10.0.0.1', dev: 'a', protocol: 'redirect' }, []],
  ])('%s', (_, route, names) => {
    expect(uplinksOf([route])).toEqual(names);
  });
});

describe('findUplinks', () => {
  async function found(changes: Partial<Config['redirect']>): Promise<readonly string[]> {
    const { fake, config } = streetNode();
    fake.ip.links.set('eth1', { index: 20, ips: ['198.51.100.7'], isUp: true });
    fake.ip.links.set('veth_x', { index: 21, ips: [], isUp: true });
    fake.ip.mainRoutes[4].push(
      { dst: 'default', gateway: '198.51.100.1', dev: 'eth1' },
      // A pod whose node routes through it, one that is claimed, and an interface that has gone.
      { dst: '10.7.0.0/24', gateway: '10.0.0.6', dev: 'lxc_web' },
      { dst: '10.8.0.0/24', gateway: '10.0.0.8', dev: 'veth_x' },
      { dst: '10.9.0.0/24', gateway: '192.0.2.1', dev: 'gone0' },
    );
    const redirect = { ...config.redirect, ...changes };
    const loader = new RedirectLoader({ ...config, redirect }, fake.node);
    await loader.policy.start();
    const { uplinks } = await loader.look();
    await loader.close();
    return uplinks;
  }

  it('finds them beside those that are named, and none that may be a pod’s', async () => {
    expect(await found({ areUplinksFound: true })).toEqual(['eth0', 'eth1']);
  });

  it('finds none unless it is asked to', async () => {
    expect(await found({})).toEqual(['eth0']);
  });
});
