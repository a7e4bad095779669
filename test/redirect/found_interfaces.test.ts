/** The loader where no file names interfaces, on a node in memory: closed until found, told when that takes too long. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RedirectFollower } from '../../src/cli/redirect/follow.ts';
import { RedirectLoader } from '../../src/cli/redirect/loader.ts';
import {
  askedOf,
  findingProblems,
  interfaceless,
  placedEndpoints,
} from '../../src/cli/redirect/node_sight.ts';
import { redirectStatus } from '../../src/cli/redirect/status.ts';
import type { Config } from '../../src/config/config.ts';
import type { Identity } from '../../src/model/identity.ts';
import { createLogger } from '../../src/observe/log/logger.ts';
import type { KernelEndpoint } from '../../src/policy/kernel/kernel_table.ts';
import type { FoundInterfaces } from '../../src/redirect/interfaces/pod_interfaces.ts';
import { testIo } from '../cli/test_io.ts';
import { until } from '../support/until.ts';
import type { FakeNode } from './fake_node.ts';
import { ENDPOINTS, streetNode } from './street_node.ts';

let fake: FakeNode;
let config: Config;
let end: AbortController;
let running: Promise<void> = Promise.resolve();
let lines = '';

beforeEach(() => {
  ({ fake, config } = streetNode());
  fake.write('endpoints.yaml', ENDPOINTS.replaceAll(/, interface: lxc_[a-z]+/g, ''));
  const found = { areInterfacesFound: true, interfaces: ['veth*'], otherBridges: ['docker0'] };
  config = { ...config, redirect: { ...config.redirect, ...found } };
  lines = '';
  end = new AbortController();
});

afterEach(async () => {
  end.abort();
  await running;
  fake.dispose();
});

async function follow(limits: Partial<Config['limits']> = {}): Promise<void> {
  config = { ...config, limits: { ...config.limits, ...limits } };
  const loader = new RedirectLoader(config, fake.node);
  await loader.start();
  const log = createLogger({
    level: 'info',
    write: (line) => {
      lines += line;
    },
  });
  const { signal } = end;
  running = new RedirectFollower({ config, node: fake.node, loader, log, signal })
    .run()
    .then(() => loader.close());
}

/** A pod's end appears, and is told of. */
function appear(name: string, index: number): void {
  fake.ip.links.set(name, { index, ips: [], isUp: true });
  fake.ip.netnsIds.set(name, index);
  fake.links?.onLink({
    name,
    ifindex: index,
    master: null,
    isGone: false,
    address: '7a:00:00:00:00:01',
  });
}

const route = (dst: string, dev: string): void => {
  fake.ip.mainRoutes[dst.includes(':') ? 6 : 4].push({ dst, dev, scope: 'host' });
};

const ownerAt = (ifindex: number): number | undefined => {
  for (const [key, value] of fake.maps.interfaces.entries()) {
    if (key.readUInt32LE(0) === fake.generation && key.readUInt32LE(4) === ifindex) {
      return value.readUInt32LE(4);
    }
  }
  return undefined;
};

async function status() {
  fake.inspection = (inspected) => inspected;
  const io = testIo();
  await redirectStatus(config, { io, isJson: true }, fake.node);
  return JSON.parse(io.stdout.text);
}

it('a pod is open once its interface is found, and closed before', async () => {
  await follow();
  appear('veth1', 40);
  expect(fake.attached.has(40)).toBe(true);
  await until(() => fake.waits?.interfaces === 1);
  expect(ownerAt(40)).toBeUndefined();
  expect(await status()).toMatchObject({ waits: { interfaces: 1, opened: { count: 0 } } });
  route('10.0.0.5', 'veth1');
  await until(() => ownerAt(40) === 40);
  await until(() => lines.includes('opened: its pod is known'));
  expect(await status()).toMatchObject({
    interfaces: expect.arrayContaining([
      { name: 'veth1', ifindex: 40, of: 'shop/api', state: 'attached' },
    ]),
    waits: { interfaces: 0, opened: { count: 1 } },
  });
});

it('one that is renamed stays that of its pod', async () => {
  await follow();
  appear('veth1', 40);
  route('10.0.0.5', 'veth1');
  await until(() => ownerAt(40) === 40);
  fake.ip.links.delete('veth1');
  fake.ip.mainRoutes[4].length = 0;
  route('10.0.0.5', 'blue');
  appear('blue', 40);
  await until(async () =>
    (await status()).interfaces.some(({ name }: { name: string }) => name === 'blue'),
  );
  expect(ownerAt(40)).toBe(40);
});

it('what takes too long is told once, by its name, and stays closed', async () => {
  await follow({ redirectInterfaceWaitMs: 0 });
  appear('veth1', 40);
  await until(() => lines.includes('interface veth1 (index 40) lets nothing through'));
  expect(ownerAt(40)).toBeUndefined();
  const { problems } = await status();
  expect(problems).toContainEqual(expect.stringMatching(/let nothing through \(1, see "claimed"/));
});

it('a result that comes later, and says otherwise than the route, closes it', async () => {
  await follow();
  appear('veth1', 40);
  route('10.0.0.5', 'veth1');
  await until(() => ownerAt(40) === 40);
  fake.denials = new Map([['shop/api', 'by its CNI result 10.0.0.5 is now of shop/next']]);
  fake.onResults?.();
  await until(() => ownerAt(40) === undefined);
  expect(fake.attached.has(40)).toBe(true);
  end.abort();
  await running;
  expect(fake.onResults).toBeNull();
});

it('what does not fit together is told, and closed', async () => {
  await follow({ redirectInterfaceWaitMs: 0 });
  route('10.0.0.5', 'veth1');
  route('10.0.0.6', 'veth1');
  appear('veth1', 40);
  await until(() => lines.includes('veth1 would be that of shop/web, too'));
  expect(ownerAt(40)).toBeUndefined();
  expect((await status()).problems).toContainEqual(
    'shop/api has no interface here: veth1 would be that of shop/web, too',
  );
});

it.each([
  ['another name', 'veth2'],
  ['the same name', 'veth1'],
])(
  'an index that is given again, to %s, is nobody’s and has the programs',
  async (_about, name) => {
    await follow();
    appear('veth1', 40);
    route('10.0.0.5', 'veth1');
    await until(() => ownerAt(40) === 40);
    const gone = { name: 'veth1', ifindex: 40, address: '7a:00:00:00:00:01' };
    // It leaves its bridge, which says nothing of itself.
    fake.links?.onLink({ ...gone, master: 'cni0', isGone: true });
    expect(ownerAt(40)).toBe(40);
    fake.ip.links.delete('veth1');
    fake.ip.mainRoutes[4].length = 0;
    // The kernel takes the programs away; their pins stay.
    fake.links?.onLink({ ...gone, master: null, isGone: true });
    expect(ownerAt(40)).toBeUndefined();
    fake.events.length = 0;
    appear(name, 40);
    expect(fake.events).toContain('attach 40');
    route('10.0.0.5', name);
    await until(() => ownerAt(40) === 40);
  },
);

it('an index that is given again while the node is read is not the former one’s', async () => {
  await follow();
  appear('veth1', 40);
  route('10.0.0.5', 'veth1');
  await until(() => ownerAt(40) === 40);
  const owners = new Set<number | undefined>();
  let hasGone = false;
  fake.ip.onRead = () => {
    if (hasGone) {
      owners.add(ownerAt(40));
      return;
    }
    hasGone = true;
    // What is read has the former one still, and will look the same afterwards.
    const gone = { name: 'veth1', ifindex: 40, address: '7a:00:00:00:00:01' };
    fake.links?.onLink({ ...gone, master: null, isGone: true });
    fake.ip.mainRoutes[4].length = 0;
    appear('veth1', 40);
    fake.ip.netnsIds.set('veth1', 41);
  };
  fake.links?.onAddress();
  await until(() => owners.size > 0);
  expect([...owners]).toEqual([undefined]);
});

it('a port of a bridge of others is let go of', async () => {
  await follow();
  appear('veth1', 40);
  expect(fake.attached.has(40)).toBe(true);
  fake.ip.links.set('veth1', { index: 40, ips: [], isUp: true, master: 'docker0' });
  fake.links?.onAddress();
  await until(() => !fake.attached.has(40));
  // And not taken when it is told of as such.
  const link = { name: 'veth2', ifindex: 41, isGone: false, address: '7a:00:00:00:00:01' };
  fake.links?.onLink({ ...link, master: 'docker0' });
  expect(fake.attached.has(41)).toBe(false);
});

describe('where an endpoint is', () => {
  const endpoint = (name: string, more: Partial<KernelEndpoint> = {}): KernelEndpoint => ({
    ...{ name, endpointId: 1, interface: null, podUid: null, ips: [] },
    ...{ identity: 4000 as Identity, egressPolicy: 0, ingressPolicy: 0 },
    ...more,
  });
  const endpoints = [
    endpoint('a/named', { interface: 'lxc1' }),
    endpoint('a/found'),
    endpoint('a/gone'),
    endpoint('a/unknown'),
    endpoint('a/node', { identity: 1 as Identity }),
  ];
  const found: FoundInterfaces = {
    interfaces: new Map([
      ['a/found', { name: 'veth1', ifindex: 7 }],
      ['a/gone', { name: 'veth2', ifindex: 8 }],
    ]),
    unfound: new Map([
      ['a/unknown', { because: 'nobody knows', isDisputed: false }],
      ['a/both', { because: 'they disagree', isDisputed: true }],
    ]),
    problems: [],
  };
  const links = {
    ...{
      ports: new Set<string>(),
      masters: new Map(),
      bridges: new Set<string>(),
      linkAddresses: new Map(),
      bare: new Set<string>(),
    },
    ...{ addresses: [], isLoopbackUp: true },
    // The second was made anew under its name.
    interfaces: new Map([
      ['veth1', 7],
      ['veth2', 9],
    ]),
  };
  const cluster = (): Config => ({ ...config, kubernetes: {} as Config['kubernetes'] });

  it('of a file, and without an interface here: elsewhere', () => {
    const placed = placedEndpoints(endpoints, { links, found }, config);
    expect(placed.map((one) => [one.name, one.interface])).toEqual([
      ['a/named', 'lxc1'],
      ['a/found', 'veth1'],
    ]);
    expect([...interfaceless({ links, found }, config)]).toEqual([['a/both', 'they disagree']]);
  });

  it('of a cluster: here, whether or not its interface is known', () => {
    const placed = placedEndpoints(endpoints, { links, found }, cluster());
    expect(placed.map((one) => [one.name, one.interface])).toEqual([
      ['a/named', 'lxc1'],
      ['a/found', 'veth1'],
      ['a/gone', null],
      ['a/unknown', null],
    ]);
    expect([...interfaceless({ links, found }, cluster()).keys()]).toEqual(['a/unknown', 'a/both']);
  });

  it('names that are not claimed are told: the next pod’s would be open for a moment', () => {
    const own = { ...config, redirect: { ...config.redirect, interfaces: ['veth1'] } };
    const text =
      'redirect.interfaces does not claim veth2 of a/gone: the next one like it is open until it is found';
    expect(findingProblems({ found }, own)).toEqual([text]);
    expect(findingProblems({ found }, config)).toEqual([]);
    expect(findingProblems({ found: { ...found, problems: ['ip: no'] } }, config)).toEqual([
      'ip: no',
    ]);
  });

  it('a node has no interface to be found', () => {
    expect(askedOf(endpoints).map(({ name }) => name)).toEqual(['a/found', 'a/gone', 'a/unknown']);
  });
});
