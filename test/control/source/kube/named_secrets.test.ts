/** Secrets that policies name: those are read, and no others; a rule without its secret matches nothing. */
import { describe, expect, it } from 'vitest';
import { KubeSourceRig, policyObject, type RigOptions } from '../../../support/kube_source_rig.ts';

const CNP = 'CiliumNetworkPolicy';
const CCNP = 'CiliumClusterwideNetworkPolicy';

function wanting(name: string, namespace?: string): object {
  const secret = namespace === undefined ? { name } : { namespace, name };
  return {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [
      {
        toPorts: [
          {
            ports: [{ port: '80', protocol: 'TCP' }],
            rules: { http: [{ headerMatches: [{ name: 'x-token', secret }] }] },
          },
        ],
      },
    ],
  };
}

function secret(
  namespace: string,
  name: string,
  data: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>> = {},
) {
  const encoded = Object.entries(data).map(([key, text]) => [key, btoa(text)]);
  return { metadata: { namespace, name, labels }, data: Object.fromEntries(encoded) };
}

function followedSecrets(rig: KubeSourceRig): readonly string[] {
  return [...rig.cluster.followed]
    .filter(({ kind }) => kind.kind === 'Secret')
    .map(({ namespace, name }) => `${namespace}/${name}`)
    .toSorted();
}

function secretsOf(rig: KubeSourceRig): object {
  return Object.fromEntries(rig.store.currentSet().secrets);
}

async function running(options: RigOptions = {}): Promise<KubeSourceRig> {
  const rig = KubeSourceRig.withPods(options);
  rig.cluster.put(CNP, policyObject('shop', 'api', wanting('token')));
  rig.cluster.put('Secret', secret('shop', 'token', { value: 's3cret' }));
  rig.cluster.put('Secret', secret('shop', 'other', { value: 'not ours' }));
  rig.start().up();
  await settled(rig);
  return rig;
}

/** Whoever follows anew is given its list in a turn of its own. */
async function settled(rig: KubeSourceRig): Promise<void> {
  for (let i = 0; i < 3; i++) {
    rig.settle();
    await Promise.resolve();
  }
}

describe('secrets that policies name', () => {
  it('are in the first set, and no others are read', async () => {
    const rig = await running();
    expect(followedSecrets(rig)).toEqual(['shop/token']);
    expect(rig.starts).toHaveLength(1);
    expect(secretsOf(rig)).toEqual({ 'shop/token': 's3cret' });
  });

  it('change with the object, and go with the policy', async () => {
    const rig = await running();
    rig.cluster.put('Secret', secret('shop', 'token', { value: 'newer' }));
    await settled(rig);
    expect(secretsOf(rig)).toEqual({ 'shop/token': 'newer' });
    rig.cluster.remove('Secret', 'shop', 'token');
    await settled(rig);
    expect(secretsOf(rig)).toEqual({});
    rig.cluster.put(CNP, policyObject('shop', 'api', wanting('other', 'shop')));
    await settled(rig);
    expect(followedSecrets(rig)).toEqual(['shop/other']);
    expect(secretsOf(rig)).toEqual({ 'shop/other': 'not ours' });
    rig.cluster.remove(CNP, 'shop', 'api');
    await settled(rig);
    expect(followedSecrets(rig)).toEqual([]);
  });

  it('of another namespace are not read for a policy of a namespace, which is refused', async () => {
    const rig = KubeSourceRig.withPods();
    rig.cluster.put('Secret', secret('ops', 'token', { value: 'not for shop' }));
    rig.cluster.put(CNP, policyObject('shop', 'api', wanting('token', 'ops')));
    rig.start().up();
    await settled(rig);
    expect(followedSecrets(rig)).toEqual([]);
    expect(rig.refusals()).toEqual([
      'CiliumNetworkPolicy shop/api: absent: CiliumNetworkPolicy shop/api: names the secret ops/token: a policy of a namespace may name secrets of that namespace alone',
    ]);
    const clusterwide = policyObject(null, 'all', wanting('token', 'ops'));
    rig.cluster.put(CCNP, clusterwide);
    await settled(rig);
    expect(secretsOf(rig)).toEqual({ 'ops/token': 'not for shop' });
    // It is known now, and still none of his.
    expect(rig.refusals()).toHaveLength(1);
  });

  it('that cannot be read keep no set waiting, and are told by their name', async () => {
    const rig = KubeSourceRig.withPods();
    const { cluster } = rig;
    cluster.put(CNP, policyObject('shop', 'api', wanting('token')));
    rig.start();
    for (const kind of new Set([...cluster.followed].map((one) => one.kind.kind)))
      cluster.list(kind);
    rig.settle();
    expect(rig.starts).toEqual([]);
    cluster.health('Secret', { sinceMs: 1, problem: 'forbidden' });
    rig.settle();
    expect(rig.starts).toMatchObject([{ kind: 'changed' }]);
    expect(rig.health.stale).toEqual([
      { part: 'Secret shop/token', sinceMs: 1, problem: 'forbidden' },
    ]);
  });

  it('that no policy names any more are not told as old', async () => {
    const rig = await running();
    rig.cluster.health('Secret', { sinceMs: 1, problem: 'forbidden' });
    expect(rig.health.stale).toHaveLength(1);
    rig.cluster.remove(CNP, 'shop', 'api');
    await settled(rig);
    expect(rig.health.stale).toEqual([]);
  });

  it('that nobody answers for are waited for no longer than for a cluster', () => {
    const rig = KubeSourceRig.withPods();
    const { cluster } = rig;
    cluster.put(CNP, policyObject('shop', 'api', wanting('token')));
    rig.start();
    for (const kind of new Set([...cluster.followed].map((one) => one.kind.kind)))
      cluster.list(kind);
    rig.settle();
    rig.settle(30_000);
    expect(rig.starts).toMatchObject([{ kind: 'changed' }]);
  });

  it.each([
    ['two entries', { a: '1', b: '2' }, 'data: must have exactly one item (found 2)'],
    ['none', {}, 'data: must have exactly one item (found 0)'],
    [
      'a line end',
      { a: 'x\n' },
      'data: the value has control characters, such as a line end at its end: no header could be equal to it',
    ],
  ])('with %s are not used, and told without their value', async (_about, data, message) => {
    const rig = await running();
    rig.cluster.put('Secret', secret('shop', 'token', data));
    await settled(rig);
    expect(secretsOf(rig)).toEqual({});
    expect(rig.notices).toEqual([`Secret shop/token: ${message}`]);
  });

  it('are bytes, as requests are judged', async () => {
    const rig = await running();
    const { metadata } = secret('shop', 'token', {});
    rig.cluster.put('Secret', { metadata, data: { a: Buffer.from('é').toString('base64') } });
    await settled(rig);
    expect(secretsOf(rig)).toEqual({ 'shop/token': 'Ã©' });
  });

  it('beyond the bound are not read, and told', async () => {
    const rig = await running({ limits: { kubeSecretCountMax: 1 } });
    rig.cluster.put(CNP, policyObject('shop', 'more', wanting('zzz')));
    await settled(rig);
    expect(followedSecrets(rig)).toEqual(['shop/token']);
    expect(rig.notices).toEqual([
      'Secret shop/zzz: is not read: policies name more than 1 (kubeSecretCountMax)',
    ]);
  });
});

describe('secrets that are copied into one namespace', () => {
  const options = { secretsNamespace: 'cilium-secrets' };

  it('are read there, and nowhere else', async () => {
    const rig = KubeSourceRig.withPods(options);
    rig.cluster.put(CNP, policyObject('shop', 'api', wanting('token')));
    rig.cluster.put(CCNP, policyObject(null, 'own', wanting('plain', 'cilium-secrets')));
    rig.cluster.put('Secret', secret('cilium-secrets', 'shop-token', { value: 'copied' }));
    rig.cluster.put('Secret', secret('cilium-secrets', 'plain', { value: 'plain' }));
    rig.cluster.put('Secret', secret('shop', 'token', { value: 'not read' }));
    rig.start().up();
    await settled(rig);
    expect(followedSecrets(rig)).toEqual(['cilium-secrets/null']);
    expect(secretsOf(rig)).toEqual({ 'shop/token': 'copied', 'cilium-secrets/plain': 'plain' });
  });

  it('one that is a copy of another secret, by its labels, is not taken for it', async () => {
    const rig = KubeSourceRig.withPods(options);
    rig.cluster.put(CCNP, policyObject(null, 'api', wanting('b-c', 'a')));
    const labels = {
      'secretsync.cilium.io/owning-secret-namespace': 'a-b',
      'secretsync.cilium.io/owning-secret-name': 'c',
    };
    rig.cluster.put('Secret', secret('cilium-secrets', 'a-b-c', { value: 'others' }, labels));
    rig.start().up();
    await settled(rig);
    expect(secretsOf(rig)).toEqual({});
  });
});
