/** Reserved identities keep their numbers, whatever labels join theirs. */
import { describe, expect, it } from 'vitest';
import type { Identity } from '../../../src/model/identity.ts';
import { buildIdentityTable } from '../../../src/policy/resolve/identity_table.ts';
import { EMPTY_INVENTORY, type InventoryEndpoint } from '../../../src/policy/resolve/inventory.ts';
import { allocatorOf } from '../../support/allocator.ts';

const HOST = 'reserved:host';
const REMOTE = 'reserved:remote-node';
const API_SERVER = 'reserved:kube-apiserver';
const POOL = 'k8s:pool=edge';

describe('a node', () => {
  it.each([
    [[HOST], 1],
    [[HOST, POOL], 1],
    [[HOST, API_SERVER, POOL], 1],
    [[REMOTE], 6],
    [[REMOTE, POOL], 6],
    [[API_SERVER, REMOTE], 7],
    [[API_SERVER, REMOTE, POOL], 7],
    [['reserved:health'], 4],
    [['reserved:ingress'], 8],
  ])('with %j is %d', (labels, identity) => {
    expect(numbersOf([labels])).toEqual([identity]);
  });

  it.each([
    [['reserved:health', 'k8s:app=x']],
    [['reserved:ingress', 'k8s:app=x']],
    [['reserved:unknown']],
    [['reserved:toString']],
    [['k8s:host', POOL]],
    [['k8s:reserved=host']],
  ])('is not what has only a label that joins no others: %j', (labels) => {
    expect(numbersOf([labels])[0]).toBeGreaterThanOrEqual(256);
  });

  it('has its labels, so that policies find it by them', () => {
    const table = tableOf([[HOST, POOL]]);
    expect(table.labelsOf(1 as Identity)).toEqual([POOL, HOST]);
    expect(table.identityOfLabels([HOST, POOL])).toBe(1);
  });

  it('that is one of several hosts has the labels that all of them have', () => {
    const table = tableOf([
      [HOST, POOL, 'k8s:zone=a'],
      [HOST, POOL, 'k8s:zone=b'],
    ]);
    expect(table.labelsOf(1 as Identity)).toEqual([POOL, HOST]);
  });

  it('may be given its number, and no other labels may', () => {
    expect(numbersOf([[HOST, POOL]], 1)).toEqual([1]);
    expect(numbersOf([[REMOTE, POOL]], 6)).toEqual([6]);
    expect(errorOf([POOL], 1)).toContain('identity 1 would mean two label sets');
    expect(errorOf([HOST, POOL], 6)).toContain('identity 6 would mean two label sets');
  });

  it('that is another one has an identity of its own where labels of nodes count', () => {
    const options = { hasNodeLabels: true };
    const [own, plain, host] = numbersOf([[REMOTE, POOL], [REMOTE], [HOST, POOL]], null, options);
    expect(own).toBeGreaterThanOrEqual(256);
    expect([plain, host]).toEqual([6, 1]);
  });
});

type Labels = readonly string[];

function numbersOf(
  sets: readonly Labels[],
  identity: number | null = null,
  options = { hasNodeLabels: false },
): readonly (number | null)[] {
  const table = tableOf(sets, identity, options);
  return sets.map((_, index) => table.identityOfEndpoint(`nodes/n${index}`));
}

function tableOf(
  sets: readonly Labels[],
  identity: number | null = null,
  options = { hasNodeLabels: false },
) {
  const result = build(sets, identity, options);
  if (result.kind === 'error') throw new Error(result.message);
  return result.table;
}

function errorOf(labels: Labels, identity: number): string {
  const result = build([labels], identity, { hasNodeLabels: false });
  return result.kind === 'error' ? result.message : '';
}

function build(
  sets: readonly Labels[],
  identity: number | null,
  options: { readonly hasNodeLabels: boolean },
) {
  const endpoints = sets.map(
    (labels, index): InventoryEndpoint => ({
      name: `nodes/n${index}`,
      ips: [],
      labels,
      identity: identity as Identity | null,
      endpointId: 0,
      namedPorts: [],
      isLocal: true,
      interface: null,
      podUid: null,
    }),
  );
  return buildIdentityTable({
    inventory: { ...EMPTY_INVENTORY, endpoints },
    prefixes: [],
    extra: [],
    allocator: allocatorOf(1000),
    identityCountMax: 1000,
    ...options,
  });
}
