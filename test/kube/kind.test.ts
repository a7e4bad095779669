import { describe, expect, it } from 'vitest';
import { type KubeKind, pathOf } from '../../src/kube/kind.ts';
import { nameKeyOf } from '../../src/kube/seen_object.ts';

const PODS: KubeKind = {
  group: '',
  version: 'v1',
  plural: 'pods',
  kind: 'Pod',
  isNamespaced: true,
};
const CCNPS: KubeKind = {
  group: 'cilium.io',
  version: 'v2',
  plural: 'ciliumclusterwidenetworkpolicies',
  kind: 'CiliumClusterwideNetworkPolicy',
  isNamespaced: false,
};

describe('the path of a kind', () => {
  it.each([
    [PODS, null, '/api/v1/pods'],
    [PODS, 'shop', '/api/v1/namespaces/shop/pods'],
    [CCNPS, null, '/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies'],
    // A clusterwide kind has no namespace, whoever asks.
    [CCNPS, 'shop', '/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies'],
  ])('%# is as the API server has it', (kind, namespace, path) => {
    expect(pathOf(kind, namespace)).toBe(path);
  });
});

describe('the key of a name', () => {
  it('has the namespace, if there is one', () => {
    expect(nameKeyOf({ namespace: 'shop', name: 'api' })).toBe('shop/api');
    expect(nameKeyOf({ namespace: null, name: 'api' })).toBe('api');
  });
});
