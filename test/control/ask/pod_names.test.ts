import { describe, expect, it } from 'vitest';
import { PodNames } from '../../../src/control/ask/pod_names.ts';
import { inventoryOf } from '../../support/inventory.ts';

const { endpoints } = inventoryOf(`
endpoints:
  - { name: shop/orders-7d9f8c6b5-x2x4z, ip: 10.0.0.1, labels: { app: orders } }
  - { name: shop/orders-7d9f8c6b5-b7c8d, ip: 10.0.0.2, labels: { app: orders } }
  - { name: shop/orders-worker-5f6b7c8d9-zzzzz, ip: 10.0.0.3, labels: { app: worker } }
  - { name: shop/db-0, ip: 10.0.0.4, labels: { app: db } }
  - { name: shop/db-1, ip: 10.0.0.5, labels: { app: db }, namedPorts: { sql: 5432 } }
  - { name: shop/agent-x2x4z, ip: 10.0.0.6, labels: { app: agent, v: "1" } }
  - { name: shop/agent-b7c8d, ip: 10.0.0.7, labels: { app: agent, v: "2" } }
  - { name: shop/one, ip: 10.0.0.8, labels: { app: one } }
  - { name: shop/one-b7c8d, ip: 10.0.0.9, labels: { app: other } }
  - { name: lab/probe, ip: 10.0.0.10, labels: { app: probe } }
  - { name: lab/odd-name, ip: 10.0.0.11, labels: { app: odd } }
`);
const NAMES = new PodNames(endpoints, 'shop');

describe('a name stands for', () => {
  const orders = ['shop/orders-7d9f8c6b5-b7c8d', 'shop/orders-7d9f8c6b5-x2x4z'];
  const cases: readonly [
    about: string,
    text: string,
    name: string,
    pods: readonly string[] | null,
  ][] = [
    ['the pod of that name', 'shop/db-0', 'shop/db-0', null],
    ['the pod of that name in the namespace', 'db-0', 'shop/db-0', null],
    ['the pod, also where it is the beginning of another', 'shop/one', 'shop/one', null],
    ['the pods of a Deployment', 'shop/orders', orders[0] as string, orders],
    ['the pods of a ReplicaSet', 'orders-7d9f8c6b5', orders[0] as string, orders],
    [
      'the pods of a Deployment whose name goes on',
      'orders-worker',
      'shop/orders-worker-5f6b7c8d9-zzzzz',
      ['shop/orders-worker-5f6b7c8d9-zzzzz'],
    ],
    ['a pod whose name begins so', 'lab/odd', 'lab/odd-name', ['lab/odd-name']],
  ];
  it.each(cases)('%s', (_, text, name, pods) => {
    expect(NAMES.find(text, 'subject')).toEqual({ kind: 'pod', name, pods });
  });

  it('the pods of a StatefulSet as a remote, although their named ports differ', () => {
    const pods = ['shop/db-0', 'shop/db-1'];
    expect(NAMES.find('db', 'remote')).toEqual({ kind: 'pod', name: 'shop/db-0', pods });
  });
});

describe('a name that stands for nobody says', () => {
  const cases: readonly [about: string, text: string, message: string][] = [
    ['what is near', 'shop/order', 'no pod is named "shop/order"; did you mean shop/orders?'],
    ['in which namespace it is', 'probe', 'no pod is named "shop/probe"; did you mean lab/probe?'],
    ['what else is there', 'lab/zzzzzzzzz', '(there: '],
    ['that nothing is there', 'nowhere/zzzzzzzzz', '(the namespace nowhere has no pods)'],
    ['how an entity is asked', 'world', '"shop/world"; for the entity give --label reserved:world'],
    ['that pods differ by labels', 'agent', 'name one of them: shop/agent-b7c8d, shop/agent-x2x4z'],
    ['that pods differ by ports', 'db', 'name one of them: shop/db-0, shop/db-1'],
  ];
  it.each(cases)('%s', (_, text, message) => {
    const found = NAMES.find(text, 'subject');
    expect(found).toMatchObject({ kind: 'unknown', message: expect.stringContaining(message) });
  });
});
