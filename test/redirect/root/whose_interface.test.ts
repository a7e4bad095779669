/**
 * Who tries to be another pod, or becomes one: addresses that are given again, pods that are swapped, a pod that takes
 * another's address, interfaces with another name, and CNIs whose plugins do not run here.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { openNetnsIds } from '../../../src/redirect/interfaces/netns_ids.ts';
import { PodInterfaces } from '../../../src/redirect/interfaces/pod_interfaces.ts';
import { PodProcesses } from '../../../src/redirect/interfaces/pod_processes.ts';
import { until } from '../../support/until.ts';
import { insideOf } from '../kernel/lab.ts';
import type { CniPod } from './cni.ts';
import { greet, ONE_LOOK } from './exchange.ts';
import {
  heardAt,
  isOf,
  name,
  OUTSIDE,
  PORT,
  type Stage,
  serve,
  set,
  shout,
  status,
  strike,
} from './found_scene.ts';
import { Netns } from './netns.ts';

const TIMEOUT_MS = 300_000;
const QUIET_MS = 1200;

afterEach(strike, TIMEOUT_MS);

const pod = (own: string) => ({ name: own, uid: randomUUID() });

/** Only web may reach what is outside. */
async function reaches({ netns }: CniPod, look: object = {}): Promise<readonly string[]> {
  const outcomes: string[] = [];
  for (const to of OUTSIDE) outcomes.push(await greet({ from: netns, to, port: PORT, ...look }));
  return outcomes;
}

const looks = (one: CniPod): Promise<readonly string[]> => reaches(one, ONE_LOOK);

const ALL = ['open', 'open'];
const REFUSED = ['reset', 'reset'];
const SHUT = ['silent', 'silent'];

async function opened(at: Stage, pods: readonly CniPod[]): Promise<void> {
  for (const one of pods) await until(() => isOf(at, one));
}

describe.each([
  ['ptp', { hasProcesses: true }],
  ['ptp', { isKept: true }],
  ['bridge', { hasProcesses: true }],
  ['bridge', { isKept: true }],
] as const)('%s, %j', (plugin, how) => {
  it('an address that is given again does not make its new holder the former one', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const at = await set(plugin, how);
    const { rig, network } = at;
    const other = network.add(pod('shop/other'));
    const web = network.add(pod('shop/web'));
    name(rig, [other, web]);
    await opened(at, [other, web]);
    expect(await reaches(web)).toEqual(ALL);
    network.remove('shop/web');
    network.forgetLast();
    // The API has not told yet: the address is still web's, which may do more.
    const job = network.add(pod('shop/job'));
    expect(job.ips).toEqual(web.ips);
    await sleep(QUIET_MS);
    expect(await looks(job)).toEqual(SHUT);
    name(rig, [other, job]);
    await opened(at, [other, job]);
    expect(await reaches(job)).toEqual(REFUSED);
  });
});

it.each([
  ['has gone', false],
  ['is still there', true],
])(
  'an address that is given again waits for the result of its new holder, when the former one’s %s',
  { timeout: TIMEOUT_MS },
  async (_about, isFormerThere) => {
    const at = await set('ptp', { isKept: true });
    const { rig, network } = at;
    const other = network.add(pod('shop/other'));
    const web = network.add(pod('shop/web'));
    name(rig, [other, web]);
    await opened(at, [other, web]);
    network.remove('shop/web');
    network.forgetLast();
    if (isFormerThere) network.keep(web);
    network.isResultLate = true;
    const job = network.add(pod('shop/job'));
    expect(job.ips).toEqual(web.ips);
    const isTold = async (text: RegExp): Promise<boolean> =>
      (await status(at)).problems.some((problem) => text.test(problem));
    await until(() => isTold(/^shop\/web has no interface here: a route .* no CNI result/));
    expect(await looks(job)).toEqual(SHUT);
    network.keep(job);
    await until(() => isTold(/^shop\/web has no interface here: .* is now of shop\/job/));
    expect(await looks(job)).toEqual(SHUT);
    name(rig, [other, job]);
    await opened(at, [other, job]);
    expect(await reaches(job)).toEqual(REFUSED);
  },
);

describe.each([
  ['ptp', { hasProcesses: true }],
  ['ptp', { isKept: true }],
  ['bridge', { hasProcesses: true }],
] as const)('%s, %j', (plugin, how) => {
  it('two pods that were swapped are each what they are', { timeout: TIMEOUT_MS }, async () => {
    const at = await set(plugin, how);
    const { rig, network } = at;
    const [web, job] = [network.add(pod('shop/web')), network.add(pod('shop/job'))];
    name(rig, [web, job]);
    await opened(at, [web, job]);
    for (const one of ['shop/web', 'shop/job']) network.remove(one);
    network.forgetLast();
    const [newJob, newWeb] = [network.add(pod('shop/job')), network.add(pod('shop/web'))];
    expect([newJob.ips, newWeb.ips]).toEqual([web.ips, job.ips]);
    await sleep(QUIET_MS);
    // By what the file says still, each has the other's address.
    expect([await looks(newWeb), await looks(newJob)]).toEqual([SHUT, SHUT]);
    name(rig, [newWeb, newJob]);
    await opened(at, [newWeb, newJob]);
    expect([await reaches(newWeb), await reaches(newJob)]).toEqual([ALL, REFUSED]);
  });
});

describe.each(['ptp', 'bridge'] as const)('%s', (plugin) => {
  it('a pod gets nothing by giving itself another’s address', { timeout: TIMEOUT_MS }, async () => {
    const at = await set(plugin, { hasProcesses: true });
    const { rig, network } = at;
    const [web, job] = [network.add(pod('shop/web')), network.add(pod('shop/job'))];
    name(rig, [web, job]);
    await opened(at, [web, job]);
    const [ip4 = '', ip6 = ''] = web.ips;
    for (const ip of [ip4, ip6]) await serve(web.netns, ip);
    const heard = [await heardAt(rig.outside, OUTSIDE[0]), await heardAt(rig.outside, OUTSIDE[1])];
    const steal = (of: CniPod): void => {
      of.netns.ip(`addr add ${ip4}/32 dev eth0`, `addr add ${ip6}/128 dev eth0 nodad`);
      of.netns.ip(`route replace default dev eth0 src ${ip4} via ${gatewayOf(of, 4)}`);
      of.netns.ip(`route replace default via ${gatewayOf(of, 6)} dev eth0 src ${ip6}`);
    };
    steal(job);
    let end = shout(job.netns, OUTSIDE);
    try {
      await sleep(QUIET_MS);
      expect(heard).toEqual([[], []]);
      // Who has it is reached as before.
      for (const to of [ip4, ip6]) {
        expect(await greet({ from: rig.node, to, port: PORT })).toBe('open');
      }
      expect(await isOf(at, web)).toBe(true);
      // Nor when its holder has gone, and the file still says that it is there; nor a new pod that does the same.
      network.remove('shop/web');
      await sleep(QUIET_MS);
      expect(heard).toEqual([[], []]);
      const evil = network.add(pod('shop/evil'));
      steal(evil);
      end();
      end = shout(evil.netns, OUTSIDE);
      await sleep(QUIET_MS);
      expect(heard).toEqual([[], []]);
    } finally {
      end();
    }
  });
});

function gatewayOf({ netns }: CniPod, family: 4 | 6): string {
  const routes = JSON.parse(netns.run(['ip', '-j', `-${family}`, 'route', 'show', 'default']));
  return routes[0].gateway;
}

it('an interface with another name is still that of its pod', { timeout: TIMEOUT_MS }, async () => {
  const at = await set('bridge', { hasProcesses: true });
  const { rig, network } = at;
  const web = network.add(pod('shop/web'));
  name(rig, [web]);
  await opened(at, [web]);
  const { hostInterface } = web;
  rig.node.ip(
    `link set ${hostInterface} down`,
    `link set ${hostInterface} name vethblue`,
    'link set vethblue up',
  );
  await opened(at, [{ ...web, hostInterface: 'vethblue' }]);
  expect(await reaches(web)).toEqual(ALL);
});

it('ways that disagree leave both closed, and are told', { timeout: TIMEOUT_MS }, async () => {
  const at = await set('ptp', { isKept: true });
  const { rig, network } = at;
  const [web, job] = [network.add(pod('shop/web')), network.add(pod('shop/job'))];
  const [ip4 = ''] = web.ips;
  rig.node.ip(`route replace ${ip4}/32 dev ${job.hostInterface}`);
  name(rig, [web, job]);
  await until(async () =>
    (await status(at)).problems.some((text) =>
      text.startsWith('shop/web has no interface here: they disagree'),
    ),
  );
  expect(await looks(web)).toEqual(SHUT);
  expect(await reaches(job)).toEqual(REFUSED);
});

it('a pod without a veth has none, and it is known why', { timeout: TIMEOUT_MS }, async () => {
  const at = await set('macvlan', { hasProcesses: true });
  const { rig, network } = at;
  const one = network.add(pod('shop/web'));
  const finder = new PodInterfaces({
    run: async (program, words) => {
      return { code: 0, stdout: rig.node.run([program, ...words]), stderr: '' };
    },
    witnesses: [],
    costly: new PodProcesses({
      folder: '/proc',
      openNetnsIds: () => insideOf(rig.node.path, openNetnsIds),
    }),
    nowMs: () => performance.now(),
  });
  const found = await finder.find([{ name: one.name, ips: one.ips, podUid: one.uid }], new Set());
  expect(found.unfound.get(one.name)).toMatchObject({
    because: expect.stringMatching(/^no veth leads to the network namespace of its processes/),
    isDisputed: false,
  });
});

/**
 * What these make on the node's side, by their documentation: the name of the veth, and the route to the pod. Made by
 * hand, as they do not run here.
 */
describe.each([
  ['Calico', 'cali1234567890a', 'proto 80 scope link'],
  [
    'Cilium chained behind another, or with endpoint routes',
    'lxc0123456789',
    'proto kernel scope link',
  ],
  ['the VPC CNI of AWS', 'eni0123456789a', 'scope link'],
  ['Azure CNI', 'azv0123456789', 'proto static'],
  ['GKE and kindnet', 'veth01234567', 'scope host'],
])('routes as of %s', (_about, host, route) => {
  it('tell whose it is', { timeout: TIMEOUT_MS }, async () => {
    const at = await set('ptp', {});
    const { rig } = at;
    const netns = new Netns('hand');
    try {
      const ips = ['10.23.0.5', 'fd23::5'];
      rig.node.ip(
        `link add ${host} type veth peer name eth0 netns ${netns.name}`,
        `link set ${host} up`,
      );
      rig.node.ip(`addr add 169.254.1.1/32 dev ${host}`, `addr add fe80::1/64 dev ${host} nodad`);
      rig.node.ip(
        `route add ${ips[0]}/32 dev ${host} ${route}`,
        `route add ${ips[1]}/128 dev ${host}`,
      );
      netns.ip(
        'link set eth0 up',
        `addr add ${ips[0]}/32 dev eth0`,
        `addr add ${ips[1]}/128 dev eth0 nodad`,
      );
      netns.ip('route add 169.254.1.1/32 dev eth0', 'route add default via 169.254.1.1');
      netns.ip('route add default via fe80::1 dev eth0');
      const web = { ...pod('shop/web'), netns, ips, hostInterface: host } as unknown as CniPod;
      await until(async () =>
        (await status(at)).interfaces.some(
          ({ name: own, state }) => own === host && state === 'claimed',
        ),
      );
      expect(await looks(web)).toEqual(SHUT);
      name(rig, [web]);
      await opened(at, [web]);
      expect(await reaches(web)).toEqual(ALL);
    } finally {
      netns.dispose();
    }
  });
});
