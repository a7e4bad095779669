/** A cluster that is said by the test, through the real feed: when what it says is in force, and when it is not. */
import { describe, expect, it } from 'vitest';
import {
  allowsApp,
  KubeSourceRig,
  podObject,
  policyObject,
  type RigOptions,
} from '../../../support/kube_source_rig.ts';

const CNP = 'CiliumNetworkPolicy';

function running(options: RigOptions = {}): KubeSourceRig {
  const rig = KubeSourceRig.withPods(options);
  rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web')));
  return rig.start().up();
}

describe('a cluster', () => {
  it('is in force when every kind has been listed, and not before', () => {
    const rig = KubeSourceRig.withPods().start();
    rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web')));
    const kinds = [...new Set([...rig.cluster.followed].map(({ kind }) => kind.kind))];
    for (const kind of kinds) {
      rig.settle();
      expect(rig.starts).toEqual([]);
      rig.cluster.list(kind);
    }
    rig.settle();
    expect(rig.starts).toMatchObject([{ kind: 'changed' }]);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    expect(rig.isOpen('10.0.0.2', 'shop/api', 81)).toBe(false);
  });

  it('is not in force while a kind may be listed and not watched, which is told', () => {
    const rig = KubeSourceRig.withPods().start();
    rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web')));
    const kinds = [...new Set([...rig.cluster.followed].map(({ kind }) => kind.kind))];
    for (const kind of kinds) if (kind !== CNP) rig.cluster.list(kind);
    rig.cluster.listOnly(CNP, 'ciliumnetworkpolicies: cannot watch');
    rig.settle(40_000);
    expect(rig.starts).toMatchObject([{ kind: 'restored', savedAt: null }]);
    expect(rig.feed.staleness?.problems.join()).toContain(`${CNP} (ciliumnetworkpolicies: cannot`);
    expect(rig.health.stale).toMatchObject([{ part: CNP }]);
    rig.cluster.list(CNP);
    rig.settle();
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    // Once it was in force, it stays.
    rig.cluster.listOnly(CNP, 'ciliumnetworkpolicies: cannot watch');
    rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('nobody')));
    rig.settle();
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
  });

  it('without any policy leaves its pods open: the API says that there is none', () => {
    const rig = KubeSourceRig.withPods().start().up();
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
  });

  it('changes with each policy at once, and with pods and namespaces a moment later', () => {
    const rig = running();
    rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('other')));
    rig.settle(2);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(false);
    const relabelled = podObject('shop', 'web', {
      ip: '10.0.0.2',
      nodeName: 'n2',
      labels: { app: 'other' },
    });
    rig.cluster.put('Pod', relabelled);
    rig.settle(2);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(false);
    rig.settle(50);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    rig.cluster.remove(CNP, 'shop', 'api');
    rig.settle(2);
    expect(rig.isOpen('10.0.0.2', 'shop/api', 81)).toBe(true);
  });

  it('a namespace that gets another label is other pods', () => {
    const rig = running();
    const spec = {
      endpointSelector: { matchLabels: { app: 'api' } },
      ingress: [
        {
          fromEndpoints: [{ matchLabels: { 'io.cilium.k8s.namespace.labels.team': 'b' } }],
        },
      ],
    };
    rig.cluster.put(CNP, policyObject('shop', 'api', spec));
    rig.settle();
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(false);
    rig.cluster.put('Namespace', { metadata: { name: 'shop', labels: { team: 'b' } } });
    rig.settle();
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
  });

  it('many changes within a moment are one offer of policies, and one of the rest', () => {
    const rig = running();
    const before = rig.reads.length;
    for (let i = 0; i < 500; i++) {
      rig.cluster.put(
        'Pod',
        podObject('shop', `web-${i}`, {
          ip: `10.1.${i >> 8}.${i & 255}`,
          nodeName: 'n2',
          labels: { app: 'web' },
        }),
      );
      rig.cluster.put(CNP, policyObject('shop', `more-${i % 50}`, allowsApp('web', 1000 + i)));
    }
    rig.settle();
    expect(rig.reads.length - before).toBe(2);
    expect(rig.isOpen('10.1.1.10', 'shop/api')).toBe(true);
  });

  it('changes that never rest are offered all the same', () => {
    const rig = running();
    const before = rig.reads.length;
    for (let i = 0; i < 100; i++) {
      rig.cluster.put('Pod', podObject('shop', 'web', { ip: `10.0.1.${i}`, nodeName: 'n2' }));
      rig.settle(10);
    }
    expect(rig.reads.length - before).toBeGreaterThan(10);
  });

  it('a write of a status is no change, whatever its version', () => {
    const rig = running();
    const before = rig.reads.length;
    const document = rig.store.currentSet().specs[0];
    const written = policyObject('shop', 'api', allowsApp('web'), {
      managedFields: [{ manager: 'operator' }],
      annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
    });
    rig.cluster.put(CNP, { ...written, status: { conditions: [{ type: 'Valid' }] } });
    rig.settle();
    expect(rig.reads.length).toBe(before);
    expect(rig.store.currentSet().specs[0]).toBe(document);
    const dryRun = { annotations: { 'sallyport.dev/dry-run': 'true' } };
    rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web'), dryRun));
    rig.settle();
    expect(rig.reads.length).toBe(before + 1);
  });

  it('what is refused is refused alone, and told once', () => {
    const rig = running();
    rig.cluster.put(CNP, policyObject('shop', 'bad', { endpointSelector: {}, ingres: [] }));
    rig.settle();
    expect(rig.refusals()).toEqual([
      expect.stringMatching(/^CiliumNetworkPolicy shop\/bad: absent: .*ingres: unknown field/),
    ]);
    const told = rig.refused;
    rig.cluster.put(CNP, policyObject('shop', 'other', allowsApp('web', 81)));
    rig.settle();
    expect(rig.refused).toBe(told);
    expect(rig.isOpen('10.0.0.2', 'shop/api', 81)).toBe(true);
  });

  it.each([
    ['null', null],
    ['a text', 'text'],
    ['a spec that is a list', { spec: [] }],
  ])('an object that is none of its kind (%s) is refused alone', (_about, object) => {
    const rig = running();
    const sinks = [...rig.cluster.followed].filter(({ kind }) => kind.kind === CNP);
    for (const { sink } of sinks) {
      sink.put({ namespace: 'shop', name: 'poison', uid: 'u', version: '9', object });
    }
    rig.settle();
    expect(rig.refusals()).toEqual([expect.stringMatching(/^CiliumNetworkPolicy shop\/poison: /)]);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
  });

  it('served in two versions, an object is there until neither has it', () => {
    const rig = KubeSourceRig.withPods();
    const group = policyObject(null, 'outside', { externalCIDRs: ['192.0.2.0/24'] });
    rig.cluster.put('CiliumCIDRGroup', group);
    rig.start().up();
    const groups = (): readonly string[] =>
      rig.store.currentSet().cidrGroups.map(({ name }) => name);
    expect(groups()).toEqual(['outside']);
    const reads = rig.reads.length;
    rig.cluster.serveOnly('CiliumCIDRGroup', 'v2');
    for (const one of rig.cluster.followed) {
      if (one.kind.version === 'v2alpha1') one.sink.listed(new Set());
    }
    rig.settle();
    expect(groups()).toEqual(['outside']);
    expect(rig.reads.length).toBe(reads);
    rig.cluster.remove('CiliumCIDRGroup', null, 'outside');
    rig.settle();
    expect(groups()).toEqual([]);
  });

  it('a kind that appears later is taken up', () => {
    const rig = running();
    rig.cluster.put('NetworkPolicy', policyObject('shop', 'deny', { podSelector: {} }));
    rig.cluster.remove(CNP, 'shop', 'api');
    rig.settle();
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(false);
  });
});

describe('a list that has come in part', () => {
  it('is not offered, and neither is anything else until it is whole', () => {
    const rig = running();
    const { cluster } = rig;
    const reads = rig.reads.length;
    cluster.putQuietly(CNP, policyObject('shop', 'api', allowsApp('nobody')));
    cluster.putQuietly(CNP, policyObject('shop', 'more', allowsApp('web', 81)));
    cluster.listPartly(CNP, 1);
    cluster.put('Pod', podObject('shop', 'late', { ip: '10.0.0.9', nodeName: 'n2' }));
    rig.settle();
    expect(rig.reads.length).toBe(reads);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    cluster.list(CNP);
    rig.settle();
    // The policies, and then the pod.
    expect(rig.reads.length).toBe(reads + 2);
    expect([80, 81].map((port) => rig.isOpen('10.0.0.2', 'shop/api', port))).toEqual([false, true]);
  });

  it('that brings nothing keeps nobody waiting', () => {
    const rig = running();
    rig.cluster.listPartly('Node', 0);
    rig.cluster.put(CNP, policyObject('shop', 'more', allowsApp('web', 81)));
    rig.settle();
    expect(rig.isOpen('10.0.0.2', 'shop/api', 81)).toBe(true);
  });
});

describe('an API server that is gone', () => {
  it('leaves policy in force, tells since when and why, and what it missed comes with the next list', () => {
    const rig = running();
    const { cluster } = rig;
    cluster.down('connection refused', 123);
    rig.settle(60_000);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    expect(rig.feed.staleness).toBeNull();
    expect(rig.health.restoredAtMs).toBeNull();
    expect(rig.health.stale).toContainEqual({
      part: 'Pod',
      sinceMs: 123,
      problem: 'connection refused',
    });
    cluster.remove(CNP, 'shop', 'api');
    cluster.putQuietly(CNP, policyObject('shop', 'other', allowsApp('nobody')));
    cluster.up();
    rig.settle();
    expect(rig.health.stale).toEqual([]);
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(false);
  });

  it('that was never there, and no state on disk: everything is denied, and told', () => {
    const rig = KubeSourceRig.withPods().start();
    rig.cluster.down('connection refused', 5);
    rig.settle(30_000);
    expect(rig.starts).toMatchObject([
      {
        kind: 'restored',
        savedAt: null,
        rejected: {
          problems: [
            expect.stringMatching(
              /^the cluster at https:\/\/api\.test was not listed within 30000 ms \(kubeSyncTimeoutMs\): .*Pod \(connection refused\)/,
            ),
          ],
        },
      },
    ]);
    expect(rig.store.currentSet().isEmpty).toBe(true);
    rig.up();
    expect(rig.reads).toMatchObject([{ kind: 'changed' }]);
    expect(rig.feed.staleness).toBeNull();
    expect(rig.isOpen('10.0.0.2', 'shop/api')).toBe(true);
  });

  it('a thread that goes on for another one puts nothing in the place of what is in force', () => {
    const rig = KubeSourceRig.withPods({ resumed: { lostForms: [] } });
    rig.feed.resume({ staleness: null, offered: null, seen: null });
    rig.settle(30_000);
    expect(rig.reads).toMatchObject([{ kind: 'rejected', result: 'failed' }]);
    expect(rig.store.current().revision).toBe(0);
    rig.up();
    expect(rig.reads.at(-1)).toMatchObject({ kind: 'changed' });
  });

  it('good forms that the API has no more go on with the next thread', () => {
    const first = running();
    const bad = policyObject('shop', 'api', { endpointSelector: 5 });
    first.cluster.put(CNP, bad);
    first.settle();
    expect(first.refusals()).toEqual([expect.stringContaining(': last-good: ')]);
    const lostForms = first.lostForms.at(-1) ?? [];
    expect(lostForms).toMatchObject([{ ref: { name: 'api' } }]);
    const next = KubeSourceRig.withPods({ resumed: { lostForms } });
    next.cluster.put(CNP, bad);
    next.feed.resume({ staleness: null, offered: null, seen: null });
    next.up();
    expect(next.refusals()).toEqual([expect.stringContaining(': last-good: ')]);
    expect(next.isOpen('10.0.0.2', 'shop/api')).toBe(true);
    expect(next.isOpen('10.0.0.2', 'shop/api', 81)).toBe(false);
    first.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web')));
    first.settle();
    expect(first.lostForms.at(-1)).toEqual([]);
  });
});

describe('too many policies', () => {
  it('are no set: what is in force stays, until there is room for all', async () => {
    const rig = KubeSourceRig.withPods({ limits: { kubePolicyCountMax: 2 } });
    rig.cluster.put(CNP, policyObject('shop', 'a', allowsApp('web')));
    rig.start().up();
    rig.cluster.put(CNP, policyObject('shop', 'b', allowsApp('web', 81)));
    rig.cluster.put(CNP, policyObject('shop', 'c', allowsApp('web', 82)));
    rig.settle();
    expect(rig.feed.staleness?.problems).toEqual([
      'the cluster has more policies than kubePolicyCountMax (2) allows',
    ]);
    expect([80, 81].map((port) => rig.isOpen('10.0.0.2', 'shop/api', port))).toEqual([true, false]);
    rig.cluster.remove(CNP, 'shop', 'a');
    rig.settle();
    // They are listed once more, as those that there was no room for are not known.
    await Promise.resolve();
    rig.settle();
    expect(rig.feed.staleness).toBeNull();
    expect([80, 81, 82].map((port) => rig.isOpen('10.0.0.2', 'shop/api', port))).toEqual([
      false,
      true,
      true,
    ]);
  });
});

describe('a reload', () => {
  it('offers what there is, and lists nothing', () => {
    const rig = running();
    const followed = [...rig.cluster.followed];
    rig.cluster.put('Pod', podObject('shop', 'late', { ip: '10.0.0.9', nodeName: 'n1' }));
    let isDone = false;
    rig.feed.refresh(() => {
      isDone = true;
    });
    expect(isDone).toBe(true);
    expect(rig.isOpen('10.0.0.2', 'shop/late')).toBe(true);
    expect([...rig.cluster.followed]).toEqual(followed);
    rig.feed.refresh(() => {});
    expect(rig.reads.at(-1)).toEqual({ kind: 'same' });
  });

  it('before anything was listed is answered all the same', () => {
    const rig = KubeSourceRig.withPods().start();
    let isDone = false;
    rig.feed.refresh(() => {
      isDone = true;
    });
    expect([isDone, rig.starts.length]).toEqual([true, 0]);
  });
});

it('after a stop nothing is followed and nothing is offered', async () => {
  const rig = running();
  const reads = rig.reads.length;
  rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('nobody')));
  await rig.feed.stop();
  rig.settle();
  expect(rig.cluster.followed.size).toBe(0);
  expect(rig.reads.length).toBe(reads);
});
