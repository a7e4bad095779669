/**
 * The route of one address (/32, /128) that leads to a veth without a gateway: what ptp, kindnet, Calico, Cilium and
 * the cloud CNIs make, and by what the node delivers. Only root of this namespace makes one: routes that the kernel
 * learned from others (router advertisements, redirects) do not count.
 */
import { parseIp } from '../../model/address.ts';
import { type RunCommand, saidBy } from '../host/command.ts';
import { type Entry, parseJsonList } from '../host/links.ts';
import {
  type AskedPod,
  type Hearing,
  Testimonies,
  unheard,
  type Veth,
  type Witness,
} from './witness.ts';

export class Routes implements Witness {
  readonly #run: RunCommand;

  constructor(run: RunCommand) {
    this.#run = run;
  }

  async hear(pods: readonly AskedPod[], veths: readonly Veth[]): Promise<Hearing> {
    const deviceOf = new Map<string, ReadonlySet<string>>();
    for (const family of [4, 6] as const) {
      const result = await this.#run('ip', ['-j', `-${family}`, 'route', 'show', 'table', 'main']);
      const said = saidBy(result);
      if (result.code !== 0 && /not supported/.test(said)) continue;
      const entries = result.code === 0 ? parseJsonList(result.stdout) : null;
      if (entries === null) return unheard(`ip -${family} route: ${said.slice(0, TOLD_LENGTH)}`);
      for (const [ip, devices] of hostRoutes(entries)) deviceOf.set(ip, devices);
    }
    return heard(pods, veths, deviceOf);
  }
}

const TOLD_LENGTH = 200;

/** Address → names of the interfaces that routes to just this address lead to. */
export function hostRoutes(entries: readonly Entry[]): ReadonlyMap<string, ReadonlySet<string>> {
  const devices = new Map<string, Set<string>>();
  for (const entry of entries) {
    const { dst, dev } = entry;
    // iproute2 leaves the length of a whole address out; "default" and prefixes are no address.
    const address = typeof dst === 'string' ? parseIp(dst) : null;
    if (address === null || typeof dev !== 'string') continue;
    if (!isDirect(entry) || isLearned(entry, address.family)) continue;
    const known = devices.get(address.text);
    if (known === undefined) devices.set(address.text, new Set([dev]));
    else known.add(dev);
  }
  return devices;
}

function isDirect({ type, gateway, via, nexthops, encap }: Entry): boolean {
  if (type !== undefined && type !== 'unicast') return false;
  return [gateway, via, nexthops, encap].every((one) => one === undefined);
}

/**
 * A prefix of a router advertisement, which a pod can send, is of protocol "kernel" as well (addrconf_prefix_route).
 * For IPv4 that is only what comes of the node's own addresses.
 */
function isLearned({ protocol, expires }: Entry, family: 4 | 6): boolean {
  if (expires !== undefined || protocol === 'ra' || protocol === 'redirect') return true;
  return family === 6 && protocol === 'kernel';
}

function heard(
  pods: readonly AskedPod[],
  veths: readonly Veth[],
  deviceOf: ReadonlyMap<string, ReadonlySet<string>>,
): Hearing {
  const indexes = new Map(veths.map(({ name, ifindex }) => [name, ifindex]));
  const testimonies = new Testimonies();
  const doubts = new Map<string, string>();
  for (const { name, ips } of pods) {
    for (const ip of ips) {
      // Two routes with other metrics: one witness for each, and they do not agree.
      for (const device of deviceOf.get(ip) ?? []) {
        const ifindex = indexes.get(device);
        if (ifindex === undefined)
          doubts.set(name, `the route to ${ip} leads to ${device}, which is no veth of a pod`);
        else {
          const veths = new Set([ifindex]);
          testimonies.add(name, { by: `the route to ${ip}`, veths, isOfAddress: true });
        }
      }
    }
  }
  return { testimonies: testimonies.all, doubts, silence: null, problem: null };
}
