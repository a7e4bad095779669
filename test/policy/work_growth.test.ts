/**
 * Twice the input is about twice the work of whatever computes with a whole policy set. Work is counted without a
 * clock, as blocks of code that run.
 */

import { describe, expect, it } from 'vitest';
import type { Identity } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import type { EndpointPolicy } from '../../src/policy/ast.ts';
import type { IdentityEntry } from '../../src/policy/identity/identity_entry.ts';
import { SelectorCache } from '../../src/policy/identity/selector_cache.ts';
import { kernelTable } from '../../src/policy/kernel/kernel_table.ts';
import type { RemoteSelector } from '../../src/policy/remote_selector.ts';
import type { InventoryService } from '../../src/policy/resolve/inventory.ts';
import { resolvePolicies } from '../../src/policy/resolve/resolve.ts';
import type { Peer, PortsRule } from '../../src/policy/rule.ts';
import { LabelSet } from '../../src/policy/selector.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';
import { countedWork } from '../support/counted_work.ts';
import * as world from '../support/resolve_world.ts';
import { compile, endpoint, http, port, rule } from '../support/wire_policy.ts';

/** A sort is a little more than linear. */
const GROWTH_MAX = 2.3;
/** More than what a structure for few is made for (`LEAF_PATTERNS_MAX` of the index of patterns). */
const COUNT = 300;

type WorkOf = (count: number) => () => void;

function check(name: string, workOf: WorkOf): void {
  it(`${name}: twice as many are about twice the work`, () => {
    workOf(COUNT)();
    const once = countedWork('/src/', workOf(COUNT));
    const twice = countedWork('/src/', workOf(2 * COUNT));
    expect(once).toBeGreaterThan(COUNT);
    expect(twice / once).toBeLessThan(GROWTH_MAX);
  });
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}

describe('resolving policies for endpoints of their own', () => {
  const resolving =
    (given: {
      readonly peersOf: (i: number) => readonly Peer[];
      readonly ports?: readonly PortsRule[];
      readonly services?: (count: number) => readonly InventoryService[];
      readonly labelsOf?: (i: number) => readonly string[];
      readonly direction?: 'ingress' | 'egress';
    }): WorkOf =>
    (count) => {
      const { peersOf, ports = null, services, labelsOf, direction = 'ingress' } = given;
      const specs = numbers(count).map((i) =>
        world.spec([world.rule({ direction, peers: peersOf(i), ports })], {
          subject: { kind: 'endpoints', selector: world.app(`a${i}`) },
        }),
      );
      const endpoints = numbers(count).map((i) => {
        const labels = [`k8s:app=a${i}`, ...(labelsOf?.(i) ?? [])];
        const named = [{ name: 'web', port: 8000 + (i % 3), protocol: 'TCP' }] as const;
        return world.endpoint(`default/a${i}`, `10.0.${i >> 8}.${i & 255}`, i + 1, labels, named);
      });
      const inventory = world.worldOf({ endpoints, services: services?.(count) ?? [] });
      return () => {
        const table = world.tableOf(inventory, specs);
        const result = resolvePolicies({
          specs,
          cidrGroups: [],
          inventory,
          table,
          unselected: 'allow',
        });
        expect(result.kind).toBe('ok');
      };
    };
  const apps = (i: number) => world.from(`a${i + 1}`);

  check('selectors', resolving({ peersOf: apps }));
  check('ports', resolving({ peersOf: apps, ports: [world.ports('80'), world.ports('81-90')] }));
  check('named ports', resolving({ peersOf: apps, ports: [world.ports('web')] }));
  check(
    'named ports of others',
    resolving({ peersOf: apps, ports: [world.ports('web')], direction: 'egress' }),
  );
  check('prefixes', resolving({ peersOf: (i) => [world.cidr(`10.9.${i >> 8}.${i & 255}/32`)] }));
  check(
    'names',
    resolving({
      peersOf: (i) => [{ kind: 'fqdn', matchName: `n${i}.test`, matchPattern: null }],
      labelsOf: (i) => [`fqdn:n${i}.test`],
      direction: 'egress',
    }),
  );
  check(
    'services',
    resolving({
      peersOf: (i) => [{ kind: 'service', namespace: 'default', name: `s${i}`, selector: null }],
      services: (count) =>
        numbers(count).map((i) => ({
          namespace: 'default',
          name: `s${i}`,
          labels: [],
          ips: [],
          selector: world.app(`a${i}`),
          spec: null,
          slices: null,
        })),
      direction: 'egress',
    }),
  );
});

describe('compiling', () => {
  const compiling =
    (policyOf: (of: readonly number[]) => EndpointPolicy): WorkOf =>
    (count) => {
      const policy = policyOf(numbers(count));
      return () => {
        // An engine keeps what it compiled.
        const regexEngine = createRe2Engine(DEFAULT_LIMITS);
        expect(compile([policy], { regexEngine }).kind).toBe('ok');
      };
    };
  const rules = (of: readonly number[]) => of.map((i) => rule(`r${i}`));
  const singles = (of: readonly number[]) => of.map((i) => port(`${1000 + i}`, [rule(`r${i}`)]));
  const ranges = (width: number) => (of: readonly number[]) =>
    endpoint(of.map((i) => port(`${1000 + 10 * i}-${1000 + 10 * i + width}`, [rule(`r${i}`)])));
  const patterns = (of: readonly number[]) => of.map((i) => [':path', `/x${i}/[0-9]+`]);

  check(
    'rules of one port',
    compiling((of) => endpoint([port('80', rules(of))])),
  );
  check(
    'HTTP rules of one port',
    compiling((of) => endpoint([port('80', [rule('r', { l7: http(...patterns(of)) })])])),
  );
  check(
    'ports',
    compiling((of) => endpoint(singles(of))),
  );
  check(
    'ports, and rules of port 0',
    compiling((of) => endpoint([...singles(of), port('0', rules(of))])),
  );
  check('ranges that touch', compiling(ranges(9)));
  check('ranges of which each overlaps the next', compiling(ranges(14)));
});

describe('a table for the kernel', () => {
  const remotes = (of: readonly number[]) => of.map((i) => 2000 + i);
  const tabling =
    (policiesOf: (of: readonly number[]) => readonly EndpointPolicy[]): WorkOf =>
    (count) => {
      const policies = policiesOf(numbers(count));
      const workloads = policies.map(({ name, endpointIps }, i) => ({
        name,
        interface: `lxc${i}`,
        podUid: null,
        ips: endpointIps,
        identity: (1000 + i) as Identity,
      }));
      const result = compile(policies, { node: { prefixes: [], workloads } });
      if (result.kind === 'error') throw new Error('the policies cannot be compiled');
      return () =>
        expect(kernelTable(result.snapshot, { isDnsAllowed: false }).warnings).toEqual([]);
    };
  const named = (i: number, ports: EndpointPolicy['ingress']) => ({
    ...endpoint(ports),
    name: `ns/e${i}`,
    endpointIps: [`10.1.${i >> 8}.${i & 255}`],
    endpointId: i + 1,
  });

  check(
    'endpoints',
    tabling((of) =>
      of.map((i) => named(i, [port('80', [rule(`r${i}`, { remotes: [2000 + i] })])])),
    ),
  );
  check(
    'ports',
    tabling((of) => [
      named(
        0,
        of.map((i) => port(`${1000 + i}`, [rule('r', { remotes: [2000 + i] })])),
      ),
    ]),
  );
  check(
    'remotes',
    tabling((of) => [named(0, [port('80', [rule('r', { remotes: remotes(of) })])])]),
  );
  check(
    'rules',
    tabling((of) => [
      named(0, [
        port(
          '80',
          of.map((i) => rule(`r${i}`, { remotes: [2000 + i] })),
        ),
      ]),
    ]),
  );
});

describe('selecting identities', () => {
  const selecting =
    (
      selectorOf: (i: number) => RemoteSelector,
      entryOf: (i: number) => Partial<IdentityEntry>,
    ): WorkOf =>
    (count) => {
      const entries = numbers(count).map((i): IdentityEntry => {
        const set = new LabelSet([`k8s:app=a${i}`]);
        return { identity: (1000 + i) as Identity, set, prefixes: [], ...entryOf(i) };
      });
      return () => {
        const cache = new SelectorCache();
        for (const i of numbers(count)) cache.add(selectorOf(i));
        for (const entry of entries) expect(cache.selecting(entry)).toHaveLength(1);
      };
    };
  const prefixOf = (i: number) => world.prefixOf(`10.9.${i >> 8}.${i & 255}/32`);

  check(
    'by their labels',
    selecting(
      (i) => ({ key: `${i}`, kind: 'labels', selector: world.app(`a${i}`) }),
      () => ({}),
    ),
  );
  check(
    'by their prefixes',
    selecting(
      (i) => ({ key: `${i}`, kind: 'prefixes', prefixes: [prefixOf(i)], except: [], mode: 'some' }),
      (i) => ({ prefixes: [prefixOf(i)] }),
    ),
  );
  check(
    'by their names',
    selecting(
      (i) => ({ key: `${i}`, kind: 'fqdn', text: `n${i}.test`, isPattern: false }),
      (i) => ({ set: new LabelSet([`fqdn:n${i}.test`]) }),
    ),
  );
});
