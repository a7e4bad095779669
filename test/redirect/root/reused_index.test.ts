/**
 * The kernel gives the index of an interface again: who makes a veth inside of a pod's namespace, with an index, and moves
 * its other end out, brings the index along. So the next pod's interface may have the former one's, and the tables name
 * that pod still while no loader runs.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
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
  strike,
} from './found_scene.ts';
import { Netns } from './netns.ts';

const TIMEOUT_MS = 300_000;
const QUIET_MS = 1200;
const INDEX = 901;
const IPS = { ptp: ['10.23.0.5', 'fd23::5'], bridge: ['10.22.0.77', 'fd22::77'] } as const;
const GATEWAYS = { ptp: ['169.254.1.1', 'fe80::1'], bridge: ['10.22.0.1', 'fd22::1'] } as const;
const WAYS = { hasProcesses: true } as const;

const netnses: Netns[] = [];

afterEach(async () => {
  await strike();
  for (const netns of netnses.splice(0)) netns.dispose();
}, TIMEOUT_MS);

/** With the same addresses each time, as an IPAM may give them, and a host's end with the same index. */
class HandMadePods {
  readonly #at: Stage;
  readonly #plugin: keyof typeof IPS;

  constructor(at: Stage, plugin: keyof typeof IPS) {
    this.#at = at;
    this.#plugin = plugin;
  }

  add(own: string, onNetns: (netns: Netns) => void = () => {}): CniPod {
    const { rig, network } = this.#at;
    const netns = new Netns(own.replaceAll('/', '-'));
    netnses.push(netns);
    onNetns(netns);
    const ips = IPS[this.#plugin];
    const host = `veth${own.split('/')[1]}`;
    netns.ip(
      `link add ${host} index ${INDEX} type veth peer name eth0`,
      `link set ${host} netns ${rig.node.name}`,
      'link set eth0 up',
      ...ips.map((ip) => `addr add ${ip}/${this.#lengthOf(ip)} dev eth0 ${nodad(ip)}`),
    );
    rig.node.ip(...this.#nodeLines(host));
    const [gateway4 = '', gateway6 = ''] = GATEWAYS[this.#plugin];
    if (this.#plugin === 'ptp') netns.ip(`route add ${gateway4}/32 dev eth0`);
    netns.ip(`route add default via ${gateway4}`, `route add default via ${gateway6} dev eth0`);
    const pod = { name: own, uid: randomUUID(), netns, ips, hostInterface: host };
    const whole = pod as unknown as CniPod;
    network.begin(whole);
    return whole;
  }

  remove({ hostInterface }: CniPod): void {
    this.#at.rig.node.ip(`link del ${hostInterface}`);
  }

  #lengthOf(ip: string): number {
    if (this.#plugin === 'ptp') return ip.includes(':') ? 128 : 32;
    return ip.includes(':') ? 64 : 24;
  }

  #nodeLines(host: string): readonly string[] {
    if (this.#plugin === 'bridge') return [`link set ${host} master cni0 up`];
    const [gateway4, gateway6] = GATEWAYS.ptp;
    return [
      `link set ${host} up`,
      `addr add ${gateway4}/32 dev ${host}`,
      `addr add ${gateway6}/64 dev ${host} nodad`,
      ...IPS.ptp.map((ip) => `route add ${ip}/${this.#lengthOf(ip)} dev ${host}`),
    ];
  }
}

function nodad(ip: string): string {
  return ip.includes(':') ? 'nodad' : '';
}

/** A rule of the node takes every mark away, as some programs do: what ours have read is known all the same. */
function overwriteMarks(node: Netns, mark: string): void {
  for (const iptables of ['iptables', 'ip6tables']) {
    const rule = ['-t', 'mangle', '-A', 'PREROUTING', '-j', 'MARK', '--set-mark', mark];
    node.run([iptables, '-w', ...rule]);
  }
}

it.each([
  ['ptp', '0x0'],
  ['bridge', null],
] as const)(
  '%s: a pod whose interface has the index of the former pod’s is not that pod, while no loader runs',
  { timeout: TIMEOUT_MS },
  async (plugin, mark) => {
    const at = await set(plugin, WAYS);
    const { rig, network } = at;
    const pods = new HandMadePods(at, plugin);
    const api = network.add({ name: 'shop/api', uid: randomUUID() });
    const web = pods.add('shop/web');
    name(rig, [api, web]);
    for (const pod of [api, web]) await until(() => isOf(at, pod));
    const targets = [...OUTSIDE, ...api.ips];
    const heard = [
      ...(await Promise.all(OUTSIDE.map((ip) => heardAt(rig.outside, ip)))),
      ...(await Promise.all(api.ips.map((ip) => heardAt(api.netns, ip)))),
    ];
    for (const ip of api.ips) await serve(api.netns, ip);
    const reached = async (netns: Netns): Promise<readonly string[]> => {
      const outcomes: string[] = [];
      for (const to of targets) {
        outcomes.push(await greet({ from: netns, to, port: PORT, ...ONE_LOOK }));
      }
      return outcomes;
    };
    const all = (outcome: string) => targets.map(() => outcome).join();
    if (mark !== null) overwriteMarks(rig.node, mark);
    // Neighbours were closed until now, and answer a second later.
    await until(async () => (await reached(web.netns)).join() === all('open'));
    at.loader.kill('SIGKILL');
    await at.loader.ended;
    pods.remove(web);
    let end = (): void => {};
    let job: CniPod;
    try {
      job = pods.add('shop/job', (netns) => {
        end = shout(netns, targets);
      });
      const [link] = JSON.parse(rig.node.run(['ip', '-j', 'link', 'show', job.hostInterface]));
      expect(link.ifindex).toBe(INDEX);
      await sleep(QUIET_MS);
      expect((await reached(job.netns)).join()).toBe(all('silent'));
    } finally {
      end();
    }
    expect(heard).toEqual([[], [], [], []]);
    name(rig, [api, job]);
    await rig.follow();
    await until(() => isOf(at, job));
    await until(async () => (await reached(job.netns)).join() === all('reset'));
    expect(heard).toEqual([[], [], [], []]);
  },
);
