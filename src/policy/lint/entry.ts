/** One toPorts element (or the absence of one) with what stands around it. */
import type { DirectionRule, PolicySpec, PortsRule } from '../rule.ts';

export interface Entry {
  readonly spec: PolicySpec;
  readonly rule: DirectionRule;
  /** Null: no toPorts, so every port. */
  readonly ports: PortsRule | null;
}

export function entriesOf(spec: PolicySpec): Entry[] {
  return spec.rules.flatMap((rule): Entry[] =>
    rule.ports === null
      ? [{ spec, rule, ports: null }]
      : rule.ports.map((ports) => ({ spec, rule, ports })),
  );
}
