/**
 * Egress rules on the port that clients dial of a Service, whose backends listen on another one. Addresses of Services
 * are translated before policy sees a connection, so such a rule lets nobody reach the Service.
 */
import type { Identity, Protocol } from '../../model/identity.ts';
import type { InventoryService } from '../resolve/inventory.ts';
import type { Selections } from '../resolve/selection.ts';
import type { DirectionRule, PolicySpec, PortSelector, PortsRule } from '../rule.ts';
import { type Finding, finding } from './finding.ts';

export function servicePorts(
  specs: readonly PolicySpec[],
  services: readonly InventoryService[],
  selections: Selections,
): Finding[] {
  const translated = services.flatMap(translatedPorts);
  if (translated.length === 0) return [];
  const behind = new Behind(translated, selections);
  return specs.flatMap(({ rules }) =>
    rules.flatMap((rule) => {
      if (rule.direction !== 'egress' || rule.action !== 'allow') return [];
      const ports = behind.of(rule);
      return ports.length === 0
        ? []
        : (rule.ports ?? []).flatMap((one) => misses(rule, one, ports));
    }),
  );
}

/** A port of a Service that is another one at its backends. */
interface TranslatedPort {
  readonly service: InventoryService;
  readonly protocol: Protocol;
  readonly dialled: number;
  readonly backends: readonly number[];
}

function translatedPorts(service: InventoryService): readonly TranslatedPort[] {
  return (service.spec?.ports ?? []).flatMap(({ name, protocol, port, targetPort }) => {
    const told = (service.slices ?? []).flatMap(({ ports }) =>
      ports.filter((one) => one.name === name && one.protocol === protocol).map((one) => one.port),
    );
    const named = typeof targetPort === 'number' ? [targetPort] : [];
    const backends = [...new Set(told.length > 0 ? told : named)];
    const isOther = backends.length > 0 && !backends.includes(port);
    return isOther ? [{ service, protocol, dialled: port, backends }] : [];
  });
}

/** A rule about so many remotes is about pods, and not about a Service. */
const REMOTES_MAX = 100;

class Behind {
  readonly #byService = new Map<InventoryService, TranslatedPort[]>();
  readonly #byIdentity = new Map<Identity, TranslatedPort[]>();
  readonly #selections: Selections;

  constructor(translated: readonly TranslatedPort[], selections: Selections) {
    this.#selections = selections;
    for (const one of translated) put(this.#byService, one.service, one);
    for (const [{ selector }, ports] of this.#byService) {
      if (selector === null) continue;
      const peer = { kind: 'selector', selector, isLocalCluster: false } as const;
      for (const { remotes } of selections.ofPeer(peer, 'some')) {
        for (const identity of remotes ?? []) {
          for (const one of ports) put(this.#byIdentity, identity, one);
        }
      }
    }
  }

  of({ peers }: DirectionRule): readonly TranslatedPort[] {
    const found = new Set<TranslatedPort>();
    for (const peer of peers ?? []) {
      if (peer.kind === 'service') {
        for (const service of this.#selections.servicesOf(peer)) {
          for (const one of this.#byService.get(service) ?? []) found.add(one);
        }
      }
      if (peer.kind !== 'selector') continue;
      for (const { remotes } of this.#selections.ofPeer(peer, 'some')) {
        if (remotes === null || remotes.size > REMOTES_MAX) continue;
        for (const identity of remotes) {
          for (const one of this.#byIdentity.get(identity) ?? []) found.add(one);
        }
      }
    }
    return [...found];
  }
}

function put<Key>(map: Map<Key, TranslatedPort[]>, key: Key, one: TranslatedPort): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [one]);
  else known.push(one);
}

function misses(
  { ports: all }: DirectionRule,
  { origin, ports }: PortsRule,
  translated: readonly TranslatedPort[],
): Finding[] {
  const allowed = (all ?? []).flatMap((one) => one.ports ?? ANY_PORT);
  return (ports ?? []).flatMap((port) => {
    const missed = translated.filter(
      ({ protocol, dialled, backends }) =>
        port.name === null &&
        port.port === dialled &&
        port.endPort <= port.port &&
        port.protocols.includes(protocol) &&
        !backends.some((number) => allowed.some((one) => covers(one, number, protocol))),
    );
    const [first] = missed;
    if (first === undefined) return [];
    const { service, dialled, backends } = first;
    const others = missed.length > 1 ? `, and so do ${missed.length - 1} more` : '';
    const message = `${dialled} is the port that clients dial of the Service ${service.namespace}/${service.name}, whose backends listen on ${backends.join(', ')}${others}: policy sees the backend's port, so nobody reaches the Service by this rule`;
    return [finding('service-port', origin, { message })];
  });
}

const ANY_PORT: readonly PortSelector[] = [
  { port: 0, endPort: 0, name: null, protocols: ['TCP', 'UDP', 'SCTP'] },
];

/** A name may be any port. */
function covers(selector: PortSelector, port: number, protocol: Protocol): boolean {
  if (!selector.protocols.includes(protocol)) return false;
  if (selector.name !== null || selector.port === 0) return true;
  return selector.port <= port && port <= Math.max(selector.endPort, selector.port);
}
