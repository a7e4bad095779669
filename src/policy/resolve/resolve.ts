/**
 * CNP and CCNP rules → one EndpointPolicy for each local endpoint (repository.go, rule.go, l4.go and the
 * agent's Envoy translation, in one step). Pure: equal inputs, equal policies; the order of
 * documents does not show, that of rules only where Cilium's agent loses a list (`lost_lists.ts`).
 */
import type { Direction, Identity, KernelProtocol, PolicyProtocol } from '../../model/identity.ts';
import { isKernelProtocol, POLICY_PROTOCOLS, RESERVED_IDENTITIES } from '../../model/identity.ts';
import {
  DEFAULT_ALLOW_POLICY,
  DEFAULT_ALLOW_RULE,
  type EndpointPolicy,
  NO_L7,
  type PortPolicy,
  type PortRule,
} from '../ast.ts';
import { type SubjectNumbers, subjectKey } from '../identity/subject_numbers.ts';
import { compareText } from '../labels.ts';
import type { CidrGroup, PolicySpec, Tier } from '../rule.ts';
import { LabelSet } from '../selector.ts';
import type { KnownIdentities } from './identity_table.ts';
import type { Inventory, InventoryEndpoint } from './inventory.ts';
import type { LostList } from './lost_lists.ts';
import { type MergeConflict, MergeError, mergePieces } from './merge.ts';
import { NamedPorts } from './named_ports.ts';
import { peerWarnings } from './peer_warnings.ts';
import { type Piece, piecesOf } from './piece.ts';
import { portPoliciesOf, type ResolveWarning } from './port_rules.ts';
import { allowPrecedence, Levels, rulesOf } from './precedence.ts';
import { Selections } from './selection.ts';
import { SubjectIndex } from './subject_index.ts';

export interface ResolveInput {
  readonly specs: readonly PolicySpec[];
  readonly cidrGroups: readonly CidrGroup[];
  readonly inventory: Inventory;
  readonly table: KnownIdentities;
  /**
   * What an endpoint has that no spec selects: in Cilium nothing is enforced then. `deny` is for a set without
   * any policy, which may be a mount that failed: default deny both ways, so only the host comes in.
   */
  readonly unselected: 'allow' | 'deny';
  /** Kept over sets; absent: endpoints have no subject. */
  readonly subjects?: SubjectNumbers;
  /** Ids of all endpoints of this node by name, where they are given already. Absent: the lowest free numbers. */
  readonly endpointIds?: ReadonlyMap<string, number>;
  /** The host has no rule of its own (`redirect.host: policy`): only those that select it let it in. */
  readonly isHostJudged?: boolean;
  /** An endpoint whose rules exclude each other is denied, and the others have theirs. Absent: a conflict of the set. */
  readonly areConflictsDenied?: boolean;
}

/** Denied both ways, as rules that select it exclude each other. */
export interface DeniedEndpoint {
  readonly name: string;
  readonly subject: number | null;
  readonly conflict: MergeConflict;
}

export type ResolveResult =
  | {
      readonly kind: 'ok';
      readonly policies: readonly EndpointPolicy[];
      readonly warnings: readonly ResolveWarning[];
      /** Name of a local endpoint → names of the policies that select it, sorted. */
      readonly selecting: ReadonlyMap<string, readonly string[]>;
      readonly denied: readonly DeniedEndpoint[];
    }
  | { readonly kind: 'conflict'; readonly conflict: MergeConflict; readonly endpoint: string };

/** Rules of one port and selector that exclude each other make the whole set a conflict, or deny their endpoints. */
export function resolvePolicies(input: ResolveInput): ResolveResult {
  const resolver = new Resolver(input);
  const policies: EndpointPolicy[] = [];
  const endpoints = input.inventory.endpoints.filter(({ isLocal }) => isLocal);
  const endpointIds = input.endpointIds ?? numberedEndpoints(endpoints);
  const denied: DeniedEndpoint[] = [];
  for (const endpoint of endpoints) {
    const { name } = endpoint;
    const { ingress, egress, conflict } = resolver.resolve(endpoint);
    const subject = input.subjects?.of(endpoint);
    if (conflict !== null) {
      if (input.areConflictsDenied !== true) return { kind: 'conflict', conflict, endpoint: name };
      denied.push({ name, subject: subject ?? null, conflict });
    }
    policies.push({
      name,
      endpointIps: endpoint.ips.map(({ text }) => text),
      endpointId: endpointIds.get(name) ?? endpoint.endpointId,
      ...(subject === undefined ? {} : { subject }),
      ingress: ingress.wire,
      egress: egress.wire,
      kernelOnly: { ingress: ingress.kernel, egress: egress.kernel },
    });
  }
  const warnings = resolver.warnings();
  return { kind: 'ok', policies, warnings, selecting: resolver.selecting, denied };
}

interface DirectionPolicy {
  /** What the wire form can say, and a proxy can ask for. */
  readonly wire: readonly PortPolicy[];
  readonly kernel: readonly PortPolicy<KernelProtocol>[];
}

interface Directions extends Readonly<Record<Direction, DirectionPolicy>> {
  /** Not null: nobody's rules are in the directions. */
  readonly conflict: MergeConflict | null;
}

class Resolver {
  readonly selecting = new Map<string, readonly string[]>();
  readonly #input: ResolveInput;
  readonly #selections: Selections;
  readonly #levels: Levels;
  readonly #subjects: SubjectIndex;
  readonly #namedPorts: NamedPorts;
  readonly #warnings = new Map<string, ResolveWarning>();
  readonly #cache = new Map<string, Directions>();

  constructor(input: ResolveInput) {
    this.#input = input;
    this.#levels = new Levels(input.specs);
    this.#subjects = new SubjectIndex(input.specs);
    this.#namedPorts = new NamedPorts(input.inventory.endpoints, input.table);
    this.#selections = new Selections({
      table: input.table,
      cluster: input.inventory.cluster,
      cidrGroups: input.cidrGroups,
      services: input.inventory.services,
    });
    for (const spec of input.specs) this.#warnOfPeers(spec);
  }

  warnings(): readonly ResolveWarning[] {
    return [...this.#warnings.values()];
  }

  resolve(endpoint: InventoryEndpoint): Directions {
    const set = new LabelSet(endpoint.labels);
    const specs = this.#subjects.selecting(set);
    const names = new Set(specs.map(({ origin }) => origin.policy));
    this.selecting.set(endpoint.name, [...names].sort(compareText));
    const key = subjectKey(endpoint);
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const subject: SubjectContext = { endpoint, set, specs };
    const directions = this.#directions(subject);
    this.#cache.set(key, directions);
    return directions;
  }

  #directions(subject: SubjectContext): Directions {
    try {
      const ingress = this.#direction(subject, 'ingress');
      return { ingress, egress: this.#direction(subject, 'egress'), conflict: null };
    } catch (error) {
      if (!(error instanceof MergeError)) throw error;
      return { ingress: this.#deniedIngress(subject), egress: DENY_ALL, conflict: error.conflict };
    }
  }

  /** As default deny has it the host comes in, so that probes are answered; not where a rule may deny it. */
  #deniedIngress(subject: SubjectContext): DirectionPolicy {
    const hasDenial = subject.specs.some((spec) =>
      spec.rules.some(({ direction, action }) => direction === 'ingress' && action !== 'allow'),
    );
    if (hasDenial) return DENY_ALL;
    const { ports } = portPoliciesOf([], {
      direction: 'ingress',
      endpoint: subject.endpoint,
      listeners: this.#input.inventory.listeners,
      namedPorts: this.#namedPorts,
      isL7Observing: false,
      extra: this.#syntheticRules(subject, { direction: 'ingress', isDefaultAllowed: false }),
    });
    return splitByUse(ports);
  }

  #direction(subject: SubjectContext, direction: Direction): DirectionPolicy {
    // Default deny that is asked for by name counts without rules, too; Cilium would ignore it.
    const specs = subject.specs.filter(
      (spec) => rulesOf(spec, direction).length > 0 || spec.enableDefaultDeny[direction],
    );
    const isInit = subject.set.valuesOf('reserved:init').length > 0;
    // policy-enforcement "default": nobody's rule selects it, so nothing is enforced. An endpoint
    // whose labels are not known yet is always enforced (repository.go).
    const isUnselected = specs.length === 0;
    if (isUnselected && isInit) return DENY_ALL;
    if (isUnselected && this.#input.unselected === 'allow') return ALLOW_ALL;
    const deniedFrom = isInit || isUnselected ? 'normal' : defaultDenyTier(specs, direction);
    const pieces = specs
      .filter((spec) => isReached(spec.tier, deniedFrom))
      .flatMap((spec) => this.#piecesOfSpec(spec, direction));
    const merged = mergePieces(pieces);
    for (const lost of merged.lost) this.#warn(lostWarning(lost));
    const { ports, warnings } = portPoliciesOf(merged.pieces, {
      direction,
      endpoint: subject.endpoint,
      listeners: this.#input.inventory.listeners,
      namedPorts: this.#namedPorts,
      isL7Observing: deniedFrom === null,
      extra: this.#syntheticRules(subject, { direction, isDefaultAllowed: deniedFrom === null }),
    });
    for (const warning of warnings) this.#warn(warning);
    return splitByUse(ports);
  }

  #piecesOfSpec(spec: PolicySpec, direction: Direction): Piece[] {
    return rulesOf(spec, direction).flatMap(({ rule, place }) =>
      piecesOf(rule, {
        selections: this.#selections,
        level: this.#levels.levelOf(spec, place),
        passTarget: this.#levels.passTarget(spec.tier),
      }),
    );
  }

  /** Rules that nobody wrote: the host may reach its endpoints; what default deny is not. */
  #syntheticRules(
    subject: SubjectContext,
    options: { readonly direction: Direction; readonly isDefaultAllowed: boolean },
  ): readonly PortRule[] {
    const rules: PortRule[] = [];
    const isHost = subject.set.valuesOf('reserved:host').length > 0;
    if (options.direction === 'ingress' && !isHost && this.#input.isHostJudged !== true) {
      // allow-localhost: on the first level as mapstate.go has it, so only a deny there beats it.
      rules.push(syntheticAllow('reserved:allow-localhost', 0, HOST_ONLY));
    }
    if (options.isDefaultAllowed) {
      rules.push(syntheticAllow(DEFAULT_ALLOW_POLICY, this.#levels.defaultLevel, null));
    }
    return rules;
  }

  #warnOfPeers(spec: PolicySpec): void {
    for (const { origin, peers } of spec.rules) {
      for (const peer of peers ?? []) {
        for (const message of peerWarnings(peer, this.#selections, this.#input.table)) {
          this.#warn({ origin, message });
        }
      }
    }
  }

  #warn(warning: ResolveWarning): void {
    const { policy, rule } = warning.origin;
    this.#warnings.set(`${policy} ${rule} ${warning.message}`, warning);
  }
}

function lostWarning({ piece, by }: LostList): ResolveWarning {
  const whose = by.policy === piece.origin.policy ? by.rule : `${by.rule} of ${by.policy}`;
  const message = `these rules count for nothing: ${whose} has a rule twice, and as Cilium's agent merges lists of one port and peer, it takes this one for the same; remove the repeated rule`;
  return { origin: piece.origin, message };
}

interface SubjectContext {
  readonly endpoint: InventoryEndpoint;
  readonly set: LabelSet;
  readonly specs: readonly PolicySpec[];
}

const TIERS: readonly Tier[] = ['admin', 'normal', 'baseline'];

/** The first tier that asks for default deny; null when none of the selecting specs does. */
function defaultDenyTier(specs: readonly PolicySpec[], direction: Direction): Tier | null {
  const asking = specs.filter((spec) => spec.enableDefaultDeny[direction]);
  return TIERS.find((tier) => asking.some((spec) => spec.tier === tier)) ?? null;
}

/** What a tier denies by default does not come to later tiers (a baseline is for the unselected). */
function isReached(tier: Tier, deniedFrom: Tier | null): boolean {
  return deniedFrom === null || TIERS.indexOf(tier) <= TIERS.indexOf(deniedFrom);
}

function syntheticAllow(
  policy: string,
  level: number,
  remotes: ReadonlySet<Identity> | null,
): PortRule {
  return {
    precedence: allowPrecedence(level),
    verdict: { kind: 'allow' },
    proxyId: 0,
    origin: { policy, rule: '' },
    remotes,
    serverNames: [],
    l7: NO_L7,
  };
}

const HOST_ONLY: ReadonlySet<Identity> = new Set([RESERVED_IDENTITIES.host as Identity]);

function splitByUse(ports: readonly PortPolicy<PolicyProtocol>[]): DirectionPolicy {
  const wire: PortPolicy[] = [];
  const kernel: PortPolicy<KernelProtocol>[] = [];
  for (const port of ports) {
    const { protocol } = port;
    if (isKernelProtocol(protocol)) kernel.push({ ...port, protocol });
    else wire.push({ ...port, protocol });
  }
  return { wire, kernel };
}

/**
 * Of all endpoints that no policy selects, which share it: so it has a rule of its own, as the rule that an
 * empty list stands for is called after the endpoint.
 */
const ALLOW_ALL = splitByUse(
  POLICY_PROTOCOLS.map((protocol) => ({
    port: 0,
    endPort: 0,
    protocol,
    rules: [
      {
        precedence: 0,
        verdict: { kind: 'allow' },
        proxyId: 0,
        origin: { policy: DEFAULT_ALLOW_POLICY, rule: DEFAULT_ALLOW_RULE },
        remotes: null,
        serverNames: [],
        l7: NO_L7,
      },
    ],
  })),
);

const DENY_ALL: DirectionPolicy = { wire: [], kernel: [] };

/** Ids for endpoints that have none: the lowest free numbers, by name. */
function numberedEndpoints(endpoints: readonly InventoryEndpoint[]): ReadonlyMap<string, number> {
  const taken = new Set(endpoints.map(({ endpointId }) => endpointId));
  const numbers = new Map<string, number>();
  let next = 1;
  for (const { name, endpointId } of [...endpoints].sort((a, b) => compareText(a.name, b.name))) {
    if (endpointId !== 0) continue;
    while (taken.has(next)) next++;
    numbers.set(name, next++);
  }
  return numbers;
}
