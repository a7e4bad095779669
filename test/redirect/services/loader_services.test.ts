/** `redirect.services` on a node in memory: what is in force when, and what is left alone. */
import { mkdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { redirectDown } from '../../../src/cli/redirect/down.ts';
import { RedirectFollower } from '../../../src/cli/redirect/follow.ts';
import { RedirectLoader } from '../../../src/cli/redirect/loader.ts';
import { LoaderServices } from '../../../src/cli/redirect/services.ts';
import { redirectStatus } from '../../../src/cli/redirect/status.ts';
import { redirectUp } from '../../../src/cli/redirect/up.ts';
import type { Config } from '../../../src/config/config.ts';
import type { FrontendSet } from '../../../src/control/service/service_frontends.ts';
import { createLogger } from '../../../src/observe/log/logger.ts';
import type { NodeServices } from '../../../src/redirect/services/node_services.ts';
import { testIo } from '../../cli/test_io.ts';
import { frontend } from '../../support/service_frontends.ts';
import { until } from '../../support/until.ts';
import type { FakeNode } from '../fake_node.ts';
import { ENDPOINTS, policy, streetNode } from '../street_node.ts';

const servicesOf = (...ips: readonly string[]): string =>
  `services:\n${ips
    .map(
      (ip, index) =>
        `  - { name: shop/web-${index}, endpoints: { matchLabels: { app: api } }, clusterIPs: ["${ip}"], ports: [{ port: 80 }] }\n`,
    )
    .join('')}`;

let fake: FakeNode;
let config: Config;

beforeEach(() => {
  const street = streetNode();
  fake = street.fake;
  config = { ...street.config, redirect: { ...street.config.redirect, services: 'socket' } };
  fake.inspection = (found) => found;
  fake.write('endpoints.yaml', ENDPOINTS + servicesOf('10.96.0.1'));
});

afterEach(() => fake.dispose());

const none = (): Config => ({ ...config, redirect: { ...config.redirect, services: 'none' } });

async function up(with_ = config): Promise<string> {
  const io = testIo();
  expect([await redirectUp(with_, { io, isFollowing: false }, fake.node), io.stderr.text]).toEqual([
    0,
    '',
  ]);
  return io.stdout.text;
}

async function problems(with_ = config): Promise<readonly string[]> {
  const io = testIo();
  await redirectStatus(with_, { io, isJson: true }, fake.node);
  return (JSON.parse(io.stdout.text) as { problems: readonly string[] }).problems;
}

const at = (text: string): number => fake.events.findIndex((event) => event.startsWith(text));

describe('up', () => {
  it('writes tables before hooks ask them, and policy before both', async () => {
    const out = await up();
    expect(out).toContain('Services are translated at sockets: 1 addresses');
    expect(at('services 1')).toBeGreaterThan(at('attach 11'));
    expect(at('attach services')).toBeGreaterThan(at('services 1'));
    const { frontends = [], nodeAddresses = [] } = fake.services.inForce ?? {};
    expect(frontends.map(({ address }) => address?.text)).toEqual(['10.96.0.1']);
    expect(frontends[0]?.backends.map(({ address }) => address.text)).toEqual(['10.0.0.5']);
    expect(nodeAddresses.map(({ text }) => text)).toContain('192.0.2.7');
    expect(await problems()).toEqual([]);
  });

  it('NodePorts are not at addresses that are others in a pod, nor at those that IPVS has for Services', async () => {
    fake.ip.links.set('eth9', { index: 99, ips: ['192.0.2.9', 'fe80::9', 'fd00::9'], isUp: true });
    fake.ip.links.set('kube-ipvs0', { index: 98, ips: ['10.96.0.1'], isUp: false });
    await up();
    const texts = fake.services.inForce?.nodeAddresses.map(({ text }) => text);
    expect(texts).toEqual(expect.arrayContaining(['192.0.2.9', 'fd00::9']));
    for (const other of ['::1', '127.0.0.1', 'fe80::9', '10.96.0.1'])
      expect(texts).not.toContain(other);
  });

  it('with none takes the hooks away, and touches nothing where there are none', async () => {
    await up();
    expect(await problems(none())).toEqual([
      expect.stringContaining('redirect up takes the hooks'),
    ]);
    expect(await up(none())).toContain('removed the hooks of Services');
    expect(await problems(none())).toEqual([]);
    expect(await up(none())).not.toContain('Services');
    expect(await problems()).toEqual([expect.stringContaining('not translated')]);
  });

  it('down takes the hooks away before the programs that judge', async () => {
    await up();
    mkdirSync(config.redirect.root, { recursive: true });
    expect(await redirectDown(config, testIo(), fake.node)).toBe(0);
    expect(at('services removed')).toBeGreaterThan(0);
    expect(at('services removed')).toBeLessThan(at('programs removed'));
  });
});

describe('while it follows', () => {
  it('Services that change are put in force, and hooks that somebody took away are put back', async () => {
    const loader = new RedirectLoader(config, fake.node);
    await loader.start();
    const stop = new AbortController();
    const log = createLogger({ level: 'silent', write: () => {} });
    const options = { config, node: fake.node, loader, log, signal: stop.signal };
    const ran = new RedirectFollower(options).run();
    const count = (): number | undefined => fake.services.inForce?.frontends.length;
    fake.write('endpoints.yaml', ENDPOINTS + servicesOf('10.96.0.1', '10.96.0.2'));
    await until(() => count() === 2);
    fake.services.missingHooks = ['connect4'];
    expect(await problems()).toEqual([expect.stringContaining('no hook at connect4')]);
    await until(() => fake.services.missingHooks.length === 0);
    fake.services.remove();
    await until(() => count() === 2);
    stop.abort();
    await ran;
    await loader.close();
  });
});

describe('of judging and translating, one that fails does not hold the other back', () => {
  /** The loader at work, until `task` ends; what it logged. */
  async function following(
    node: FakeNode['node'],
    task: (logged: () => string) => Promise<void>,
  ): Promise<string> {
    const loader = new RedirectLoader(config, node);
    await loader.start();
    const stop = new AbortController();
    let text = '';
    const log = createLogger({ level: 'error', write: (line) => (text += line) });
    const ran = new RedirectFollower({ config, node, loader, log, signal: stop.signal }).run();
    try {
      await task(() => text);
    } finally {
      stop.abort();
      await ran;
      await loader.close();
    }
    return text;
  }

  it('Services are written while the interfaces cannot be read', async () => {
    let isBroken = false;
    const failed = { code: 1, stdout: '', stderr: 'no links today' };
    const run: FakeNode['node']['run'] = async (program, args) =>
      isBroken ? failed : fake.node.run(program, args);
    const text = await following({ ...fake.node, run }, async () => {
      isBroken = true;
      fake.write('endpoints.yaml', ENDPOINTS + servicesOf('10.96.0.1', '10.96.0.2'));
      await until(() => fake.services.inForce?.frontends.length === 2);
      fake.write('endpoints.yaml', ENDPOINTS + servicesOf('10.96.0.3'));
      await until(() => fake.services.inForce?.frontends[0]?.address?.text === '10.96.0.3');
    });
    expect(text).toContain('redirect not updated');
    expect(text).not.toContain('Services not updated');
  });

  it('policy is in force while Services cannot be written', async () => {
    let isBroken = false;
    const open = (...args: Parameters<FakeNode['services']['open']>): NodeServices => {
      const services = fake.services.open(...args);
      const apply: NodeServices['apply'] = (wanted) => {
        if (isBroken) throw new Error('the map is full');
        return services.apply(wanted);
      };
      return { ...services, apply };
    };
    const { inspect, remove } = fake.services;
    const node = { ...fake.node, services: { open, inspect, remove } };
    const text = await following(node, async (logged) => {
      isBroken = true;
      const generations = (): number => fake.events.filter((one) => /^generation/.test(one)).length;
      const before = generations();
      fake.write('policy.yaml', policy(81));
      fake.write('endpoints.yaml', ENDPOINTS + servicesOf('10.96.0.1', '10.96.0.2'));
      await until(() => generations() > before && logged().includes('the map is full'));
      expect(fake.services.inForce?.frontends).toHaveLength(1);
      isBroken = false;
      await until(() => fake.services.inForce?.frontends.length === 2);
    });
    expect(text.match(/Services not updated/g)).toHaveLength(1);
    expect(text).not.toContain('redirect not updated');
  });
});

describe('addresses that several Services claim', () => {
  it('are told once, until that is over', () => {
    let known: FrontendSet = { frontends: [], problems: ['a', 'b'] };
    const services = new LoaderServices({ config, node: fake.node, frontends: () => known });
    const toldWith = (problems: readonly string[]): readonly string[] => {
      known = { frontends: [], problems };
      services.put(['192.0.2.7']);
      return services.takeProblems();
    };
    services.start(['192.0.2.7']);
    expect(services.takeProblems()).toEqual(['a', 'b']);
    expect(toldWith(['a', 'b', 'c'])).toEqual(['c']);
    expect(toldWith(['c'])).toEqual([]);
    expect(toldWith(['a'])).toEqual(['a']);
  });
});

describe('sockets that may have lost their backend', () => {
  const of = (protocol: 'TCP' | 'UDP', backends: readonly number[]) =>
    frontend({ address: '10.96.0.1', port: 53, protocol, backends });
  const setOf = (...frontends: FrontendSet['frontends']): FrontendSet => ({
    frontends,
    problems: [],
  });

  it('are looked for when programs are done with what was before, and told once', async () => {
    let nowMs = 1000;
    let known = setOf(of('TCP', [1]));
    const node = { services: fake.services, nowNs: () => BigInt(nowMs) * 1_000_000n };
    const services = new LoaderServices({ config, node, frontends: () => known });
    const putWith = (set: FrontendSet) => {
      known = set;
      services.put(['192.0.2.7']);
      return services.closeLost();
    };
    const { redirectGraceMs } = config.limits;
    fake.services.lost = { closed: 2, problems: ['may not'] };
    services.start(['192.0.2.7']);
    nowMs += redirectGraceMs;
    // TCP ends by itself, and what is new has no sockets.
    expect(await services.closeLost()).toBeNull();
    expect(await putWith(setOf(of('TCP', [2])))).toBeNull();
    expect(await putWith(setOf(of('TCP', [2]), of('UDP', [1])))).toBeNull();
    nowMs += redirectGraceMs;
    expect(await services.closeLost()).toBeNull();
    expect(await putWith(setOf(of('UDP', [2])))).toBeNull();
    nowMs += redirectGraceMs - 1;
    expect(await putWith(setOf(of('UDP', [3])))).toBeNull();
    nowMs += 1;
    expect(await services.closeLost()).toEqual({ closed: 2, problems: ['may not'] });
    expect(await services.closeLost()).toBeNull();
    expect(await putWith(setOf())).toBeNull();
    nowMs += redirectGraceMs;
    expect(await services.closeLost()).toEqual({ closed: 2, problems: [] });
  });
});

describe('a loader that does not know the Services', () => {
  it('leaves in force what the last one left, until it does', () => {
    const set: FrontendSet = {
      frontends: [frontend({ address: '10.96.0.1', port: 80, backends: [1] })],
      problems: [],
    };
    let known: FrontendSet | null = null;
    fake.services.inForce = { frontends: set.frontends, nodeAddresses: [] };
    const services = new LoaderServices({ config, node: fake.node, frontends: () => known });
    expect(services.start(['192.0.2.7'])).toEqual([expect.stringContaining('not known yet')]);
    expect(fake.events).toEqual(['attach services']);
    expect(fake.services.inForce.frontends).toBe(set.frontends);
    known = set;
    expect(services.put(['192.0.2.7'])).not.toBeNull();
    expect(services.put(['192.0.2.7'])).toBeNull();
    expect(services.put(['192.0.2.8'])).not.toBeNull();
  });
});
