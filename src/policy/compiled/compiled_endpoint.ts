/** The port policies of one endpoint, by direction and protocol. */
import type { Direction, Identity, PolicyProtocol, Port, ProxyId } from '../../model/identity.ts';
import type { EndpointPolicy } from '../ast.ts';
import { type Remotes, unknownRemote } from '../identity/remotes.ts';
import { DENY_PORT, NO_POLICY_PORT, type PortRules, type View } from './port_rules.ts';
import type { PortTable } from './port_table.ts';

/** Endpoints with the same labels share them. */
export type DirectionTables = ReadonlyMap<PolicyProtocol, PortTable>;

export class CompiledEndpoint {
  readonly name: string;
  readonly endpointId: number;
  readonly endpointIps: readonly string[];
  /** False for the one that stands in for an address without policy, and denies everything. */
  readonly isKnown: boolean;
  readonly #directions: Readonly<Record<Direction, DirectionTables>> | null;
  readonly #remotes: Remotes | null;

  constructor(
    policy: Pick<EndpointPolicy, 'name' | 'endpointId' | 'endpointIps'>,
    directions: Readonly<Record<Direction, DirectionTables>> | null,
    /** Null: whoever asks for a view is known by number only. */
    remotes: Remotes | null = null,
  ) {
    this.name = policy.name;
    this.endpointId = policy.endpointId;
    this.endpointIps = policy.endpointIps;
    this.isKnown = directions !== null;
    this.#directions = directions;
    this.#remotes = remotes;
  }

  /** False for a policy in wire form. */
  get hasKernelProtocols(): boolean {
    return this.#directions?.ingress.has('ICMP') === true;
  }

  /**
   * Of ICMP the port is the type + 1. Of an endpoint with a policy in wire form, which has no words for
   * ICMP, that denies; only a kernel says otherwise (`kernelTable`).
   */
  port(direction: Direction, protocol: PolicyProtocol, port: Port): CompiledPort {
    if (this.#directions === null) return new CompiledPort(NO_POLICY_PORT[direction], null);
    const rules = this.#directions[direction].get(protocol)?.find(port) ?? DENY_PORT[direction];
    return new CompiledPort(rules, this.#remotes);
  }

  tables(direction: Direction): DirectionTables {
    return this.#directions?.[direction] ?? NO_TABLES;
  }
}

/** The rules of a port, and who is who at the moment of the snapshot. */
export class CompiledPort {
  readonly rules: PortRules;
  readonly #remotes: Remotes | null;

  constructor(rules: PortRules, remotes: Remotes | null) {
    this.rules = rules;
    this.#remotes = remotes;
  }

  /** See `PortRules.view`. */
  view(proxyId: ProxyId, remote: Identity): View {
    return this.rules.view(proxyId, this.#remotes?.of(remote) ?? unknownRemote(remote));
  }
}

const NO_TABLES: DirectionTables = new Map();

/** Stands in for every address without policy (getPolicyInstance: missing means deny all). */
export const UNKNOWN_ENDPOINT = new CompiledEndpoint(
  { name: '', endpointId: 0, endpointIps: [] },
  null,
);
