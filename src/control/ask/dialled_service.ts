/**
 * A question about the address of a Service: policy is asked about each that may be behind it. An allow needs all of
 * them; a deny of one is a deny. It is so for a socket that is translated, which gets one of them, and for a packet that
 * keeps the address, which may get any.
 */
import type { SocketAddress } from '../../model/address.ts';
import { formatSocketAddress } from '../../model/address.ts';
import type { Behind } from '../../model/connection_meta.ts';
import { IDENTITY_WORLD, type Identity, type Protocol } from '../../model/identity.ts';
import type { FrontendKind, ServiceFrontend } from '../../model/service_frontend.ts';
import { isNode } from '../../policy/identity/service_table.ts';
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
  readonly kind: FrontendKind;
}

export type DialledResult =
  | { readonly kind: 'service'; readonly dialled: DialledService }
  | { readonly kind: 'none' }
  | { readonly kind: 'error'; readonly message: string };

export class DialledServices {
  readonly #frontends: readonly ServiceFrontend[];
  readonly #byAddress: ReadonlyMap<string, ServiceFrontend>;
  /** Node ports are dialled there. */
  readonly #nodeIps: ReadonlySet<string>;

  constructor(inventory: Inventory) {
    // Whoever asks does not know on which node the client is.
    const { frontends } = new ServiceFrontends().update({ ...inventory, here: null });
    this.#frontends = frontends;
    this.#byAddress = new Map(frontends.map((one) => [keyOf(one), one]));
    const nodes = inventory.endpoints.filter(({ identity, labels }) =>
      isNode({ identity: identity ?? IDENTITY_WORLD, labels }),
    );
    this.#nodeIps = new Set(nodes.flatMap(({ ips }) => ips.map(({ text }) => text)));
  }

  /** Of a question from a client; none: what it asks about is no address of a Service. */
  of({ remote, direction, protocol, port }: Question): DialledResult {
    if (protocol === 'ICMP' || protocol === 'ICMPv6' || direction === 'ingress') return NONE;
    if (remote.kind === 'service') return this.#named(remote, protocol);
    if (remote.kind !== 'ip') return NONE;
    const family = remote.ip.includes(':') ? 6 : 4;
    const found =
      this.#byAddress.get(`${protocol} ${remote.ip} ${port}`) ??
      (this.#nodeIps.has(remote.ip)
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
    kind: frontends[0]?.kind ?? 'ClusterIP',
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
): readonly Behind[] {
  const found = new Map<string, Behind>();
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
