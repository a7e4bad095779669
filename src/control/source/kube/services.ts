/** Services, what is behind them, and where the API server is. */
import { type IpAddress, type IpText, parseIp } from '../../../model/address.ts';
import type { ServiceSlice } from '../../../model/service_spec.ts';
import { compareText } from '../../../policy/labels.ts';
import type { InventoryService } from '../../../policy/resolve/inventory.ts';
import type { EndpointSliceFacts } from '../../decode/kube/endpoint_slice.ts';
import type { ServiceFacts } from '../../decode/kube/service.ts';
import { KeyedValues } from '../../set/keyed_values.ts';
import { isSameList, isSameTexts } from './same.ts';

interface Slice {
  /** "namespace/name" of its service. */
  readonly service: string;
  readonly ips: string;
  readonly slice: ServiceSlice | null;
}

export class Services {
  readonly #services = new Map<string, ServiceFacts>();
  readonly #slices = new Map<string, Slice>();
  readonly #slicesByService = new Map<string, Set<string>>();
  readonly #dirty = new Set<string>();
  readonly #values = new KeyedValues<InventoryService>(isSameService);

  /** Null: it is gone. `key`: "namespace/name". */
  setService(key: string, facts: ServiceFacts | null): void {
    if (facts === null) this.#services.delete(key);
    else this.#services.set(key, facts);
    this.#dirty.add(key);
  }

  serviceKeys(): Iterable<string> {
    return this.#services.keys();
  }

  setSlice(key: string, namespace: string, facts: EndpointSliceFacts | null): void {
    const before = this.#slices.get(key);
    const service =
      facts === null || facts.serviceName === '' ? null : `${namespace}/${facts.serviceName}`;
    if (before === undefined && service === null) return;
    if (before?.service === service && before?.ips === facts?.ips) {
      // Most updates of a slice say the same again.
      if (isSameForm(before?.slice, facts?.slice)) return;
    }
    if (before !== undefined) {
      const slices = this.#slicesByService.get(before.service);
      slices?.delete(key);
      if (slices?.size === 0) this.#slicesByService.delete(before.service);
      this.#slices.delete(key);
      this.#dirty.add(before.service);
    }
    if (facts === null || service === null) return;
    this.#slices.set(key, { service, ips: facts.ips, slice: facts.slice });
    const slices = this.#slicesByService.get(service) ?? new Set();
    slices.add(key);
    this.#slicesByService.set(service, slices);
    this.#dirty.add(service);
  }

  sliceKeys(): Iterable<string> {
    return this.#slices.keys();
  }

  /** Of the service that every cluster has for it. */
  apiServerIps(): ReadonlySet<IpText> {
    return new Set(this.#ipsOf(API_SERVER).map(({ text }) => text));
  }

  list(): readonly InventoryService[] {
    for (const key of this.#dirty) this.#values.set(key, this.#derived(key));
    this.#dirty.clear();
    return this.#values.list();
  }

  #derived(key: string): InventoryService | null {
    const facts = this.#services.get(key);
    if (facts === undefined) return null;
    const { labels, selector, spec } = facts;
    const [namespace = '', name = ''] = key.split('/');
    const ips = selector === null ? this.#ipsOf(key) : NONE;
    const slices = spec === null ? NONE : this.#slicesOf(key);
    return { namespace, name, labels, selector, ips, spec, slices };
  }

  /** In the order of their names. */
  #slicesOf(service: string): readonly ServiceSlice[] {
    const keys = [...(this.#slicesByService.get(service) ?? [])].sort(compareText);
    return keys.flatMap((key) => this.#slices.get(key)?.slice ?? []);
  }

  #ipsOf(service: string): readonly IpAddress[] {
    const texts = new Set<string>();
    for (const key of this.#slicesByService.get(service) ?? []) {
      const { ips } = this.#slices.get(key) as Slice;
      if (ips !== '') for (const text of ips.split(',')) texts.add(text);
    }
    return [...texts].sort(compareText).flatMap((text) => parseIp(text) ?? []);
  }
}

const API_SERVER = 'default/kubernetes';
const NONE: readonly never[] = Object.freeze([]);

function isSameService(a: InventoryService, b: InventoryService): boolean {
  return (
    isSameTexts(a.labels, b.labels) &&
    isSameList(a.ips, b.ips, (one, other) => one.text === other.text) &&
    isSameForm(a.selector, b.selector) &&
    isSameForm(a.spec, b.spec) &&
    isSameList(a.slices ?? NONE, b.slices ?? NONE, isSameForm)
  );
}

/** Of values that decoders made, whose fields are always in one order. */
function isSameForm(a: unknown, b: unknown): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
