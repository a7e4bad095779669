/** Specs over the small cluster of `resolve_world.ts`, compiled, with all its endpoints on this node. */
import type { Identity } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { compilePolicies } from '../../src/policy/compile/compile.ts';
import type { PolicySnapshot } from '../../src/policy/compiled/snapshot.ts';
import { resolvePolicies } from '../../src/policy/resolve/resolve.ts';
import type { PolicySpec } from '../../src/policy/rule.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { API, JOB, tableOf, WEB, worldOf } from './resolve_world.ts';

const ENGINE = createRe2Engine(DEFAULT_LIMITS);

export function cnpSnapshot(
  specs: readonly PolicySpec[],
  shadow: PolicySnapshot | null = null,
): PolicySnapshot {
  const inventory = worldOf();
  const table = tableOf(inventory, specs);
  const resolved = resolvePolicies({
    specs,
    cidrGroups: [],
    inventory,
    table,
    unselected: 'allow',
  });
  if (resolved.kind === 'conflict') throw new Error(resolved.conflict.message);
  const built = compilePolicies(resolved.policies, {
    revision: 1,
    regexEngine: ENGINE,
    limits: DEFAULT_LIMITS,
    secrets: new Map(),
    ipcache: table.ipcache,
    labels: table,
    shadow,
    node: {
      prefixes: table.ipcache.entries,
      workloads: [API, WEB, JOB].map(({ name, ips, identity }) => ({
        name,
        interface: `lxc_${name.slice(-3)}`,
        podUid: null,
        ips: ips.map(({ text }) => text),
        identity: identity as Identity,
      })),
    },
  });
  if (built.kind === 'error') throw new Error(JSON.stringify(built.problems));
  return built.snapshot;
}
