/**
 * Who has a place in the tables when there is not enough for all. Whoever may make a Service decides how many entries it
 * takes, so namespaces that take least come first: one that asks for everything keeps nobody else out.
 */
import type { ServiceBackend, ServiceFrontend } from '../../model/service_frontend.ts';
import { maglevSize } from './maglev.ts';

/** How many of each may be in force. */
export interface ServiceRoom {
  readonly frontendCountMax: number;
  readonly slotCountMax: number;
  readonly backendCountMax: number;
}

/** Those for whom there is none, in the order of `frontends`. The same whatever was in force before. */
export function withoutRoom(
  frontends: readonly ServiceFrontend[],
  room: ServiceRoom,
): readonly ServiceFrontend[] {
  if (isEnough(frontends, room)) return [];
  const left = new Set<ServiceFrontend>();
  const taken = new Set<string>();
  let slotCount = 0;
  let frontendCount = 0;
  for (const one of byNeed(frontends)) {
    const places = one.backends.map(placeOf).filter((place) => !taken.has(place));
    const isRoom =
      frontendCount < room.frontendCountMax &&
      slotCount + slotCountOf(one) <= room.slotCountMax &&
      taken.size + new Set(places).size <= room.backendCountMax;
    if (!isRoom) {
      left.add(one);
      continue;
    }
    frontendCount += 1;
    slotCount += slotCountOf(one);
    for (const place of places) taken.add(place);
  }
  return frontends.filter((one) => left.has(one));
}

/** Nearly always, and at each change: so nothing is made of text. */
function isEnough(frontends: readonly ServiceFrontend[], room: ServiceRoom): boolean {
  if (frontends.length > room.frontendCountMax) return false;
  if (sumOf(frontends, slotCountOf) > room.slotCountMax) return false;
  if (sumOf(frontends, ({ backends }) => backends.length) <= room.backendCountMax) return true;
  const backends = new Set<ServiceBackend>();
  for (const one of frontends) for (const backend of one.backends) backends.add(backend);
  return backends.size <= room.backendCountMax;
}

/** By what their namespaces need, least first; else they stay in order. */
function byNeed(frontends: readonly ServiceFrontend[]): readonly ServiceFrontend[] {
  const needs = new Map<string, number>();
  for (const one of frontends) {
    const namespace = namespaceOf(one);
    needs.set(namespace, (needs.get(namespace) ?? 0) + 1 + slotCountOf(one));
  }
  const needOf = (one: ServiceFrontend): number => needs.get(namespaceOf(one)) ?? 0;
  return [...frontends].sort((a, b) => needOf(a) - needOf(b));
}

function slotCountOf({ backends, isConsistentlyHashed }: ServiceFrontend): number {
  return isConsistentlyHashed ? maglevSize(backends.length) : backends.length;
}

function placeOf({ address, port }: ServiceBackend): string {
  return `${address.text} ${port}`;
}

function namespaceOf({ service }: ServiceFrontend): string {
  return service.slice(0, service.indexOf('/'));
}

function sumOf<T>(all: readonly T[], sizeOf: (one: T) => number): number {
  let sum = 0;
  for (const one of all) sum += sizeOf(one);
  return sum;
}
