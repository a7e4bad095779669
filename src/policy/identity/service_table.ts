/**
 * Who is behind the addresses of Services at one moment. A value, as a `Roster` is: a batch makes the next one, which
 * shares nearly all of itself with this one. It knows no policy, and not who the backends are.
 */
import type { IpText, SocketAddress } from '../../model/address.ts';
import {
  ALLOCATED_IDENTITY_MIN,
  type Identity,
  LOCAL_IDENTITY_FLAG,
  type Port,
  type Protocol,
  RESERVED_IDENTITIES,
} from '../../model/identity.ts';
import type { JudgedFrontend } from '../../model/service_frontend.ts';
import { BrokenTableError } from './delta.ts';
import { type MapChange, PersistentMap } from './persistent_map.ts';

/** By what a frontend is found. */
export type FrontendAddress = Pick<JudgedFrontend, 'protocol' | 'family' | 'ip' | 'port'>;

export interface ServiceBatch {
  /** One more than that of the batch before. */
  readonly sequence: number;
  /** Nothing that was known before counts; it need not follow another batch. */
  readonly isWhole: boolean;
  readonly gone: readonly FrontendAddress[];
  /** New ones, and those that say something else from now on. */
  readonly come: readonly JudgedFrontend[];
}

export class ServiceTable {
  static readonly EMPTY = new ServiceTable(0, PersistentMap.of(new Map()));
  /** Of the last batch that is in it. */
  readonly sequence: number;
  readonly #frontends: PersistentMap<string, JudgedFrontend>;

  private constructor(sequence: number, frontends: PersistentMap<string, JudgedFrontend>) {
    this.sequence = sequence;
    this.#frontends = frontends;
  }

  get size(): number {
    return this.#frontends.size;
  }

  /** Null: it is no address of a Service. */
  at(protocol: Protocol, ip: IpText, port: Port): JudgedFrontend | null {
    if (this.#frontends.size === 0) return null;
    return this.#frontends.get(`${protocol} ${ip} ${port}`) ?? null;
  }

  /** A NodePort: at each address of a node. */
  atNode(protocol: Protocol, family: 4 | 6, port: Port): JudgedFrontend | null {
    if (this.#frontends.size === 0) return null;
    return this.#frontends.get(`${protocol} ${family} ${port}`) ?? null;
  }

  /** "namespace/name" of the Service that has the address, whatever the protocol; `isNode`: of a node. */
  named({ ip, family, port }: SocketAddress, isNode: boolean): string | null {
    if (this.#frontends.size === 0) return null;
    for (const protocol of SERVICE_PROTOCOLS) {
      const found = this.at(protocol, ip, port);
      if (found !== null) return found.service;
      const atNode = isNode ? this.atNode(protocol, family, port) : null;
      if (atNode !== null) return atNode.service;
    }
    return null;
  }

  frontends(): Iterable<JudgedFrontend> {
    return this.#frontends.values();
  }

  /** Throws a BrokenTableError when the batch does not fit: then nothing of it counts. */
  after({ sequence, isWhole, gone, come }: ServiceBatch): ServiceTable {
    if (isWhole) {
      const frontends = new Map(come.map((one) => [frontendKey(one), one]));
      return new ServiceTable(sequence, PersistentMap.of(frontends));
    }
    if (sequence !== this.sequence + 1) {
      throw new BrokenTableError(`batch ${sequence} of Services came after batch ${this.sequence}`);
    }
    const changes: MapChange<string, JudgedFrontend>[] = [];
    for (const address of gone) {
      const key = frontendKey(address);
      if (this.#frontends.get(key) === undefined) {
        throw new BrokenTableError(`no Service is known at ${key}`);
      }
      changes.push([key, undefined]);
    }
    for (const one of come) changes.push([frontendKey(one), one]);
    return new ServiceTable(sequence, this.#frontends.after(changes));
  }
}

const SERVICE_PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const satisfies readonly Protocol[];

/** Who has an address, by the rules of who is who. */
export interface AddressOwner {
  readonly identity: Identity;
  readonly labels: readonly string[];
}

/** Every address of a node is dialled for its NodePorts. The kernel knows addresses of nodes that nobody else does. */
export function isNode({ identity, labels }: AddressOwner): boolean {
  return isThisNode({ identity, labels }) || isOneOf('remote-node', { identity, labels });
}

/**
 * Whether a frontend is judged by its own address as well as by who is behind it, as the bytes may go to that address.
 *
 *     an external address          whoever may write a Service may write any address of the world there, and where
 *                                  nobody translates it they go to the world (CVE-2020-8554)
 *     another node's NodePort      that node translates it, or not
 *     a load balancer's address that is a pod's
 */
export function isJudgedAsDialled(
  { kind }: Pick<JudgedFrontend, 'kind'>,
  owner: AddressOwner,
): boolean {
  switch (kind) {
    case 'ClusterIP':
      return false;
    case 'ExternalIP':
      return true;
    case 'NodePort':
      return !isThisNode(owner);
    case 'LoadBalancer':
      return owner.identity >= ALLOCATED_IDENTITY_MIN && owner.identity < LOCAL_IDENTITY_FLAG;
  }
}

function isThisNode(owner: AddressOwner): boolean {
  return isOneOf('host', owner);
}

function isOneOf(name: 'host' | 'remote-node', { identity, labels }: AddressOwner): boolean {
  return identity === RESERVED_IDENTITIES[name] || labels.includes(`reserved:${name}`);
}

/** No two frontends have one. */
export function frontendKey({ protocol, family, ip, port }: FrontendAddress): string {
  return `${protocol} ${ip ?? family} ${port}`;
}
