/**
 * A question about the address of a Service, as a socket dials it: policy is asked about each that may be behind it. An
 * allow needs all of them; a deny of one is a deny. Where no hook at the socket puts a backend in its place, packets have
 * the address itself, and the node judges them by that.
 */
import type { SocketAddress } from '../../model/address.ts';
import { formatSocketAddress } from '../../model/address.ts';
import type { Identity, Port, Protocol } from '../../model/identity.ts';
import type { ServiceFrontend } from '../../model/service_frontend.ts';
import type { Inventory } from '../../policy/resolve/inventory.ts';
import { ServiceFrontends } from '../service/service_frontends.ts';
import type { Question } from './question.ts';

/** What a client dials: all ways to it, which have the same kind of backends. */
export interface DialledService {
  /** "namespace/name". */
  readonly service: string;
  /** "10.96.0.10:53", or several. */
  readonly address: string;
  readonly backends: readonly SocketAddress[];
}

/** One identity and port that is behind it. */
export interface BehindService {
  readonly identity: Identity;
  readonly port: Port;
}

export type DialledResult =
  | { readonly kind: 'service'; readonly dialled: DialledService }
  | { readonly kind: 'none' }
  | { readonly kind: 'error'; readonly message: string };

export class DialledServices {
  readonly #frontends: readonly ServiceFrontend[];
  readonly #byAddress: ReadonlyMap<string, ServiceFrontend>;
  /** Addresses of hosts: node ports are dialled there. */
  readonly #hostIps: ReadonlySet<string>;

  constructor(inventory: Inventory) {
    // Whoever asks does not know on which node the client is.
    const { frontends } = new ServiceFrontends().update({ ...inventory, here: null });
    this.#frontends = frontends;
    this.#byAddress = new Map(frontends.map((one) => [keyOf(one), one]));
    const hosts = inventory.endpoints.filter(({ labels }) => labels.includes('reserved:host'));
    this.#hostIps = new Set(hosts.flatMap(({ ips }) => ips.map(({ text }) => text)));
  }

  /** Of a question from a client; none: what it asks about is no address of a Service. */
  of({ remote, direction, protocol, port }: Question): DialledResult {
    if (protocol === 'ICMP' || protocol === 'ICMPv6' || direction === 'ingress') return NONE;
    if (remote.kind === 'service') return this.#named(remote, protocol);
    if (remote.kind !== 'ip') return NONE;
    const family = remote.ip.includes(':') ? 6 : 4;
    const found =
      this.#byAddress.get(`${protocol} ${remote.ip} ${port}`) ??
      (this.#hostIps.has(remote.ip)
        ? this.#byAddress.get(`${protocol} IPv${family} ${port}`)
        : undefined);
    if (found === undefined) return NONE;
    const dialled = dialledOf([found], formatSocketAddress(remote.ip, port));
    return { kind: 'service', dialled };
  }

  #named(
    { name, port }: { readonly name: string; readonly port: string },
    protocol: Protocol,
  ): DialledResult {
    const own = this.#frontends.filter(
      (one) => one.service === name && one.kind === 'ClusterIP' && one.protocol === protocol,
    );
    const dialled = own.filter((one) => one.portName === port || String(one.port) === port);
    if (dialled.length > 0) return { kind: 'service', dialled: dialledOf(dialled, null) };
    const ports = own.map((one) => one.portName || String(one.port));
    const known =
      ports.length > 0 ? `its ports: ${[...new Set(ports)].join(', ')}` : 'none is known that has';
    return { kind: 'error', message: `no Service ${name} has ${protocol} port ${port} (${known})` };
  }
}

function dialledOf(frontends: readonly ServiceFrontend[], as: string | null): DialledService {
  const addresses = frontends.map(({ address, port }) =>
    formatSocketAddress(address?.text ?? '', port),
  );
  return {
    service: frontends[0]?.service ?? '',
    address: as ?? addresses.join(', '),
    backends: frontends.flatMap(({ allBackends }) =>
      allBackends.map(({ address, port }) => ({
        ip: address.text,
        family: address.family,
        port,
      })),
    ),
  };
}

/** Each identity and port once, in the order of the backends. */
export function distinctBehind(
  { backends }: DialledService,
  identityOf: (ip: string) => Identity,
): readonly BehindService[] {
  const found = new Map<string, BehindService>();
  for (const { ip, port } of backends) {
    const identity = identityOf(ip);
    found.set(`${identity} ${port}`, { identity, port });
  }
  return [...found.values()];
}

const NONE: DialledResult = { kind: 'none' };

function keyOf({ protocol, family, address, port }: ServiceFrontend): string {
  return `${protocol} ${address === null ? `IPv${family}` : address.text} ${port}`;
}
