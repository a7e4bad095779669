/** Endpoints by address and by name, each with the policy that it shares with others of its subject. A value. */
import type { Direction } from '../../model/identity.ts';
import { BrokenTableError, type EndpointPlace, type IdentityBatch } from '../identity/delta.ts';
import { type MapChange, PersistentMap } from '../identity/persistent_map.ts';
import type { CompiledDirection } from './compiled_direction.ts';

export type SubjectPolicy = Readonly<Record<Direction, CompiledDirection>>;

export interface PlacedEndpoint {
  readonly name: string;
  readonly endpointId: number;
  readonly endpointIps: readonly string[];
  readonly directions: SubjectPolicy;
  /** Null: it has a policy of its own, which no batch moves. */
  readonly subject: number | null;
  /** In the order in which they came. */
  readonly place: number;
}

interface Maps {
  readonly byIp: PersistentMap<string, PlacedEndpoint>;
  readonly byName: PersistentMap<string, PlacedEndpoint>;
  readonly byPlace: PersistentMap<number, PlacedEndpoint>;
  readonly nextPlace: number;
}

export class EndpointIndex {
  readonly #maps: Maps;

  private constructor(maps: Maps) {
    this.#maps = maps;
  }

  static of(
    endpoints: readonly PlacedEndpoint[],
    byIp: ReadonlyMap<string, PlacedEndpoint>,
  ): EndpointIndex {
    return new EndpointIndex({
      byIp: PersistentMap.of(byIp),
      byName: PersistentMap.of(new Map(endpoints.map((one) => [one.name, one]))),
      byPlace: PersistentMap.of(new Map(endpoints.map((one) => [one.place, one]))),
      nextPlace: endpoints.length,
    });
  }

  at(ip: string): PlacedEndpoint | null {
    return this.#maps.byIp.get(ip) ?? null;
  }

  named(name: string): PlacedEndpoint | null {
    return this.#maps.byName.get(name) ?? null;
  }

  all(): readonly PlacedEndpoint[] {
    return [...this.#maps.byPlace.values()].sort((a, b) => a.place - b.place);
  }

  /** One of a subject that the set has no policy for is left out: nothing is allowed there. */
  after(batch: IdentityBatch, subjects: ReadonlyMap<number, SubjectPolicy>): EndpointIndex {
    const { byIp, byName, byPlace, nextPlace } = this.#maps;
    const change = new EndpointChange(this, nextPlace);
    for (const delta of batch.deltas) {
      if (delta.kind === 'remove-endpoint') change.remove(delta.name);
      if (delta.kind === 'upsert-endpoint') change.put(delta.endpoint, subjects);
    }
    if (change.byName.size === 0) return this;
    return new EndpointIndex({
      byIp: byIp.after([...change.byIp]),
      byName: byName.after([...change.byName]),
      byPlace: byPlace.after(change.byPlace),
      nextPlace: change.nextPlace,
    });
  }
}

/** What a batch makes of an index, delta by delta. */
class EndpointChange {
  readonly byIp = new Map<string, PlacedEndpoint | undefined>();
  readonly byName = new Map<string, PlacedEndpoint | undefined>();
  readonly byPlace: MapChange<number, PlacedEndpoint>[] = [];
  nextPlace: number;
  readonly #before: EndpointIndex;

  constructor(before: EndpointIndex, nextPlace: number) {
    this.#before = before;
    this.nextPlace = nextPlace;
  }

  remove(name: string): void {
    const placed = this.byName.get(name) ?? this.#before.named(name);
    const isGone = this.byName.has(name) && this.byName.get(name) === undefined;
    this.byName.set(name, undefined);
    if (placed === null || isGone) return;
    this.byPlace.push([placed.place, undefined]);
    for (const ip of placed.endpointIps) if (this.#at(ip) === placed) this.byIp.set(ip, undefined);
  }

  put(
    { name, endpointId, ips, subject }: EndpointPlace,
    subjects: ReadonlyMap<number, SubjectPolicy>,
  ): void {
    this.remove(name);
    const directions = subjects.get(subject);
    if (directions === undefined) return;
    const place = this.nextPlace++;
    const placed = { name, endpointId, endpointIps: ips, directions, subject, place };
    for (const ip of ips) {
      const other = this.#at(ip);
      if (other !== null) throw new BrokenTableError(`${ip} of ${name} is also of ${other.name}`);
      this.byIp.set(ip, placed);
    }
    this.byName.set(name, placed);
    this.byPlace.push([place, placed]);
  }

  #at(ip: string): PlacedEndpoint | null {
    return this.byIp.has(ip) ? (this.byIp.get(ip) ?? null) : this.#before.at(ip);
  }
}
