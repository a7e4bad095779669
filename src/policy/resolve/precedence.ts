/**
 * Precedence of wire rules (npds.proto, agent's types/precedence): the upper 24 bits are the
 * inverted level, so that an earlier level beats a later one; the low byte orders what one level
 * holds: deny over redirects over plain allow over pass.
 *
 *     level of (tier, priority, place of the rule): admin..., normal, baseline..., default
 */
import type { Direction } from '../../model/identity.ts';
import type { DirectionRule, PolicySpec, Tier } from '../rule.ts';

const LEVEL_MAX = 0xff_ffff;

const LOW_DENY = 255;
const LOW_ALLOW = 1;
const LOW_PASS = 0;

/** Where a redirect of that kind stands among redirects: low byte = 255 - priority. */
export const REDIRECT_PRIORITY = { http: 101, tls: 116, dns: 121, crd: 126 } as const;

export type RedirectKind = keyof typeof REDIRECT_PRIORITY;

export function denyPrecedence(level: number): number {
  return encode(level, LOW_DENY);
}

export function allowPrecedence(level: number): number {
  return encode(level, LOW_ALLOW);
}

/** `listenerPriority`: 1 to 100 when a listener was named with one, else 0. */
export function redirectPrecedence(
  level: number,
  kind: RedirectKind,
  listenerPriority: number,
): number {
  const priority = listenerPriority === 0 ? REDIRECT_PRIORITY[kind] : listenerPriority;
  return encode(level, LOW_DENY - priority);
}

export function passPrecedence(level: number): number {
  return encode(level, LOW_PASS);
}

/** Levels of a whole policy set: the same for every endpoint, whatever selects it. */
export class Levels {
  readonly #levelByKey = new Map<string, number>();
  readonly #lastLevelByTier = new Map<Tier, number>();
  /** Beyond all rules: the default tier. */
  readonly defaultLevel: number;

  constructor(specs: readonly PolicySpec[]) {
    const keys = new Map<string, LevelKey>();
    for (const spec of specs) {
      for (const key of levelKeys(spec)) keys.set(textOf(key), key);
    }
    const sorted = [...keys.values()].sort(compareKeys);
    if (sorted.length >= LEVEL_MAX) throw new Error('more rule levels than a precedence can tell');
    sorted.forEach((key, level) => {
      this.#levelByKey.set(textOf(key), level);
      this.#lastLevelByTier.set(key.tier, level);
    });
    this.defaultLevel = sorted.length;
  }

  /** `place`: the rule's index among those of its spec and direction. */
  levelOf(spec: PolicySpec, place: number): number {
    const level = this.#levelByKey.get(textOf(keyOf(spec, place)));
    if (level === undefined) throw new Error('a level was asked for a spec that is not in the set');
    return level;
  }

  /** A pass goes on at the first rule below this: the first one of the next tier. */
  passTarget(tier: Tier): number {
    return passPrecedence(this.#lastLevelByTier.get(tier) ?? this.defaultLevel);
  }
}

/** Rules of one direction, with their place. */
export function rulesOf(
  spec: PolicySpec,
  direction: Direction,
): readonly { readonly rule: DirectionRule; readonly place: number }[] {
  return spec.rules
    .filter((rule) => rule.direction === direction)
    .map((rule, place) => ({ rule, place }));
}

interface LevelKey {
  readonly tier: Tier;
  readonly priority: number;
  readonly place: number;
}

const TIER_ORDER: readonly Tier[] = ['admin', 'normal', 'baseline'];

/**
 * The rules of a ClusterNetworkPolicy (admin, baseline) are ordered: the first that matches counts.
 * Those of a CNP are alternatives, whatever their order: all on one level.
 */
function keyOf(spec: PolicySpec, place: number): LevelKey {
  const { tier, priority } = spec;
  return { tier, priority, place: tier === 'normal' ? 0 : place };
}

function levelKeys(spec: PolicySpec): LevelKey[] {
  const directions: readonly Direction[] = ['ingress', 'egress'];
  return directions.flatMap((direction) =>
    rulesOf(spec, direction).map(({ place }) => keyOf(spec, place)),
  );
}

function compareKeys(a: LevelKey, b: LevelKey): number {
  return (
    TIER_ORDER.indexOf(a.tier) - TIER_ORDER.indexOf(b.tier) ||
    a.priority - b.priority ||
    a.place - b.place
  );
}

function textOf({ tier, priority, place }: LevelKey): string {
  return `${tier} ${priority} ${place}`;
}

function encode(level: number, low: number): number {
  return (((LEVEL_MAX - level) << 8) | low) >>> 0;
}
