/** What is written to a cluster about its policies: by one of many, only when it says something new, and never in a loop. */
import { describe, expect, it } from 'vitest';
import { ReportWorld } from './report_world.ts';

const ACCEPTED = {
  type: 'Valid',
  status: 'True',
  reason: 'AcceptedBySallyport',
  message: 'the policy is valid and in force',
};

describe('conditions of policies', () => {
  it('are written by one of many processes, once', async () => {
    const world = new ReportWorld();
    for (let n = 0; n < 3; n++) world.add();
    world.apply('api');
    await world.pass(60_000);
    expect(world.conditions('api')).toMatchObject([{ ...ACCEPTED, observedGeneration: 1 }]);
    await world.pass(600_000);
    expect(world.statusWrites).toHaveLength(1);
    expect(world.reporters.filter(({ isElected }) => isElected)).toHaveLength(1);
  });

  it('tell why a policy is not in force, and what is instead', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    world.apply('api');
    reporter.judge('api', 'unknown field', 'last-good');
    await world.pass(10_000);
    expect(world.conditions('api')).toMatchObject([
      {
        type: 'Valid',
        status: 'False',
        reason: 'RefusedBySallyport',
        message: 'spec.ingress[0]: unknown field; its last good form is in force',
      },
    ]);
  });

  it('keep the time of their last change while the status stays', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    world.apply('api');
    reporter.judge('api', 'one');
    await world.pass(10_000);
    const [{ lastTransitionTime: first }] = world.conditions('api');
    reporter.judge('api', 'another');
    await world.pass(10_000);
    expect(world.conditions('api')[0]).toMatchObject({ lastTransitionTime: first });
    reporter.judge('api', null);
    await world.pass(10_000);
    const [last] = world.conditions('api');
    expect(last.status).toBe('True');
    expect(Date.parse(last.lastTransitionTime)).toBeGreaterThan(Date.parse(first));
  });

  it('leave those of others as they are, and Valid to Cilium’s operator', async () => {
    const world = new ReportWorld();
    world.add();
    const theirs = { type: 'Valid', status: 'True', message: 'Policy validation succeeded' };
    const more = { type: 'example.com/Reviewed', status: 'False', extra: { kept: 1 } };
    world.apply('api', { status: { conditions: [theirs, more], other: 1 } });
    await world.pass(10_000);
    expect(world.conditions('api')).toMatchObject([
      theirs,
      more,
      { ...ACCEPTED, type: 'sallyport.io/Enforced' },
    ]);
    await world.pass(600_000);
    expect(world.statusWrites).toHaveLength(1);
  });

  it('are not written again for a generation that an older definition cannot hold', async () => {
    const world = new ReportWorld();
    world.isPruned = true;
    world.add();
    world.apply('api');
    await world.pass(10_000);
    world.apply('api', { spec: { changed: true } });
    await world.pass(600_000);
    expect(world.statusWrites).toHaveLength(1);
  });

  it('are written ever more seldom against somebody who takes them away', async () => {
    const world = new ReportWorld();
    world.add();
    world.apply('api');
    await world.pass(5_000);
    for (let n = 0; n < 240; n++) {
      if (world.conditions('api').length > 0) world.apply('api', { status: { conditions: [] } });
      await world.pass(15_000);
    }
    // An hour: at once, and after 1, 2, 4, 8, 16 and 32 minutes.
    expect(world.statusWrites.length).toBeLessThanOrEqual(7);
  }, 60_000);

  it('wait for the change that came between, and follow it', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    world.apply('api');
    await world.pass(5_000);
    reporter.judge('api', 'wrong');
    const path = '/apis/cilium.io/v2/namespaces/shop/ciliumnetworkpolicies/api';
    const stored = world.objects.get(path);
    stored.metadata.resourceVersion = 'not seen yet';
    await world.pass(30_000);
    expect(
      world.statusWrites.filter(({ body }) => JSON.stringify(body).includes('wrong')),
    ).toHaveLength(1);
    world.store(path, stored);
    await world.pass(5_000);
    expect(world.conditions('api')).toMatchObject([{ status: 'False' }]);
  });

  it('come slower when the API server has enough', async () => {
    const world = new ReportWorld();
    world.add();
    for (let n = 0; n < 50; n++) world.apply(`p${n}`);
    let asked = 0;
    world.refuse = ({ path }) => {
      if (!path.endsWith('/status')) return null;
      asked += 1;
      return { status: 429, retryAfterMs: 5_000 };
    };
    await world.pass(60_000);
    expect(asked).toBeGreaterThan(1);
    expect(asked).toBeLessThanOrEqual(10);
    world.refuse = () => null;
    await world.pass(90_000);
    expect(world.statusWrites).toHaveLength(50);
  });

  it('of others are not held up by one that the API server has a fault with', async () => {
    const world = new ReportWorld();
    world.add();
    world.refuse = ({ path }) =>
      path.endsWith('/p0/status')
        ? { status: 500, message: 'etcdserver: request is too large' }
        : null;
    for (let n = 0; n < 20; n++) world.apply(`p${n}`);
    await world.pass(60_000);
    expect(world.statusWrites).toHaveLength(19);
  });

  it('that the API server has a fault with are tried some times, told once, and then tried seldom', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    let asked = 0;
    world.refuse = ({ path }) => {
      if (!path.endsWith('/p0/status')) return null;
      asked += 1;
      return { status: 500, message: 'etcdserver: request is too large' };
    };
    const askedWithin = async (ms: number): Promise<number> => {
      asked = 0;
      await world.pass(ms, ms > 600_000 ? 5_000 : 500);
      return asked;
    };
    world.apply('p0');
    expect(await askedWithin(120_000)).toBeGreaterThanOrEqual(5);
    expect(await askedWithin(4 * 3_600_000)).toBeLessThanOrEqual(5 * 8);
    expect(reporter.problems).toEqual([
      expect.stringMatching(/^the status of CiliumNetworkPolicy shop\/p0 cannot .*: etcdserver/),
    ]);
    expect(reporter.unwrittenCount).toBe(1);
    // Another object under that name is tried at once.
    world.apply('p0', { spec: { endpointSelector: {} } });
    expect(reporter.unwrittenCount).toBe(0);
    expect(await askedWithin(60_000)).toBeGreaterThanOrEqual(5);
    expect(reporter.unwrittenCount).toBe(1);
    // Other words, too.
    reporter.judge('p0', 'no good');
    expect(await askedWithin(60_000)).toBeGreaterThanOrEqual(5);
    world.refuse = () => null;
    await world.pass(4 * 3_600_000, 5_000);
    expect(world.conditions('p0')).toMatchObject([{ type: 'Valid', status: 'False' }]);
    expect(reporter.unwrittenCount).toBe(0);
  });

  it('that are there all the same are not counted as unwritten', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    world.refuse = ({ path }) => (path.endsWith('/status') ? { status: 500 } : null);
    world.apply('api');
    await world.pass(120_000);
    expect(reporter.unwrittenCount).toBe(1);
    // An earlier one has come through, or another process has written it.
    world.apply('api', { status: { conditions: [{ ...ACCEPTED, observedGeneration: 1 }] } });
    await world.pass(120_000);
    expect(reporter.unwrittenCount).toBe(0);
  });

  it('of a policy that changes while its last try is on its way are written at once', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    let asked = 0;
    world.refuse = ({ path }) => {
      if (!path.endsWith('/status')) return null;
      asked += 1;
      if (asked > 5) return null;
      if (asked === 5) world.apply('api', { spec: { endpointSelector: {} } });
      return { status: 500 };
    };
    world.apply('api');
    await world.pass(30_000);
    expect(asked).toBe(6);
    expect(world.conditions('api')).toMatchObject([{ ...ACCEPTED, observedGeneration: 2 }]);
    expect([reporter.unwrittenCount, reporter.problems]).toEqual([0, []]);
  });

  it('of others come soon, however many there are that the API server has a fault with', async () => {
    const world = new ReportWorld();
    world.add();
    world.refuse = ({ path }) =>
      path.includes('/large') && path.endsWith('/status') ? { status: 500 } : null;
    for (let n = 0; n < 50; n++) world.apply(`large${n}`);
    await world.pass(600_000, 1_000);
    world.apply('api');
    await world.pass(300_000, 1_000);
    expect(world.conditions('api')).toMatchObject([ACCEPTED]);
  });

  it('are all written soon after an API server had a fault with each of them', async () => {
    const world = new ReportWorld();
    world.add();
    world.refuse = ({ path }) => (path.endsWith('/status') ? { status: 500 } : null);
    for (let n = 0; n < 20; n++) world.apply(`p${n}`);
    await world.pass(600_000);
    world.refuse = () => null;
    await world.pass(300_000);
    expect(world.statusWrites).toHaveLength(20);
  });

  it('have a bounded rate', async () => {
    const world = new ReportWorld();
    world.add();
    for (let n = 0; n < 100; n++) world.apply(`p${n}`);
    await world.pass(2_000);
    world.writes.length = 0;
    await world.pass(5_000);
    expect(world.statusWrites.length).toBeLessThanOrEqual(50);
    await world.pass(60_000);
    expect(new Set(world.statusWrites.map(({ path }) => path)).size).toBeGreaterThan(50);
  });

  it('are not written without rights, which is told once, and policy goes on', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    for (let n = 0; n < 20; n++) world.apply(`p${n}`);
    let asked = 0;
    world.refuse = ({ path }) => {
      if (!path.endsWith('/status')) return null;
      asked += 1;
      return { status: 403, message: `${path} is forbidden` };
    };
    await world.pass(300_000);
    expect(reporter.problems).toHaveLength(1);
    expect(reporter.problems[0]).toContain('the status of policies cannot be written: ');
    // At once, and after 1 and 2 minutes.
    expect(asked).toBeLessThanOrEqual(20 * 4);
  });

  it('end with a process that lost its term, and another one goes on', async () => {
    const world = new ReportWorld();
    const first = world.add();
    world.apply('api');
    await world.pass(10_000);
    world.add();
    for (const { report } of world.reporters) report.put(REF, world.apply('api'));
    world.reporters[1]?.offer();
    first.isCut = true;
    await world.pass(11_000);
    expect(first.isElected).toBe(false);
    world.writes.length = 0;
    for (const reporter of world.reporters) reporter.judge('api', 'wrong');
    await world.pass(90_000);
    expect(world.statusWrites).toHaveLength(1);
    expect(world.conditions('api')).toMatchObject([{ status: 'False' }]);
  });
});

const REF = { apiKind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'api', uid: 'uid-api' };

describe('Events', () => {
  it('tell of a policy that is refused, and once it is not any more', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    world.add();
    world.apply('api');
    for (const one of world.reporters) one.judge('api', 'unknown field', 'deny');
    await world.pass(20_000);
    expect(world.events).toMatchObject([
      {
        type: 'Warning',
        reason: 'PolicyRefused',
        message: 'spec.ingress[0]: unknown field; what it selects is denied',
        involvedObject: {
          kind: 'CiliumNetworkPolicy',
          namespace: 'shop',
          name: 'api',
          uid: 'uid-api',
        },
        count: 1,
        source: { component: 'sallyport' },
      },
    ]);
    reporter.judge('api', null);
    world.reporters[1]?.judge('api', null);
    await world.pass(20_000);
    expect(world.events).toMatchObject([{}, { type: 'Normal', reason: 'PolicyAccepted' }]);
  });

  it('tell of kinds that have no status', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    reporter.judge('plain', 'unknown field', 'absent', 'NetworkPolicy');
    await world.pass(20_000);
    expect(world.events).toMatchObject([
      { reason: 'PolicyRefused', involvedObject: { apiVersion: 'networking.k8s.io/v1' } },
    ]);
    expect(world.statusWrites).toEqual([]);
  });

  it('are counted where they are the same, and seldom written', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    for (let n = 0; n < 200; n++) {
      reporter.report.nodeProblem({ reason: 'PolicyStale', message: 'the set is rejected' });
      await world.pass(1_000);
      reporter.report.nodeProblem(null);
    }
    await world.pass(400_000);
    expect(world.events).toMatchObject([
      { reason: 'PolicyStale', involvedObject: { kind: 'Node', name: 'node-0', uid: 'node-0' } },
      { reason: 'PolicyInForce' },
    ]);
    expect(world.events.map(({ count }) => count)).toEqual([200, 200]);
    expect(world.writes.length).toBeLessThanOrEqual(8);
  });

  it('tell of a proxy that is not well, and that it is again', async () => {
    const world = new ReportWorld();
    const { report } = world.add();
    for (let n = 0; n < 3; n++) report.proxyProblem('workers die');
    await world.pass(5_000);
    report.proxyProblem(null);
    report.proxyProblem(null);
    await world.pass(5_000);
    expect(world.events).toMatchObject([
      {
        ...{ reason: 'ProxyNotReady', type: 'Warning', message: 'workers die', count: 1 },
        involvedObject: { kind: 'Node', name: 'node-0', uid: 'node-0' },
      },
      { reason: 'ProxyReady', type: 'Normal', count: 1 },
    ]);
  });

  it('go on with those of another process, whose count they do not know', async () => {
    const world = new ReportWorld();
    const problem = { reason: 'PolicyStale', message: 'the set is rejected' };
    world.add('node').report.nodeProblem(problem);
    await world.pass(5_000);
    world.add('node').report.nodeProblem({ ...problem, message: 'another' });
    await world.pass(5_000);
    expect(world.events).toMatchObject([{ message: 'another', count: 1 }]);
  });

  it('are written anew when their time is over', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    reporter.report.nodeProblem({ reason: 'PolicyStale', message: 'one' });
    await world.pass(5_000);
    for (const path of world.objects.keys())
      if (path.includes('/events/')) world.objects.delete(path);
    reporter.report.nodeProblem({ reason: 'PolicyStale', message: 'another' });
    await world.pass(5_000);
    expect(world.events).toMatchObject([{ message: 'another', count: 1 }]);
  });

  it('tell of pods of the own node that are denied, each once', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    const pod = {
      namespace: 'shop',
      name: 'api-0',
      uid: 'pod-uid',
      because: 'a policy is refused',
    };
    reporter.report.deniedPods([pod]);
    reporter.report.deniedPods([{ ...pod }]);
    await world.pass(5_000);
    expect(world.events).toMatchObject([
      {
        reason: 'DefaultDeny',
        count: 1,
        involvedObject: { kind: 'Pod', namespace: 'shop', name: 'api-0', uid: 'pod-uid' },
      },
    ]);
  });

  it('about what goes with its namespace are no problem', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    const going = 'unable to create new content in namespace shop because it is being terminated';
    world.refuse = ({ path }) =>
      path.includes('/events') ? { status: 403, message: going } : null;
    reporter.report.nodeProblem({ reason: 'PolicyStale', message: 'one' });
    await world.pass(5_000);
    world.refuse = ({ path }) => (path.includes('/events') ? { status: 404 } : null);
    reporter.report.nodeProblem({ reason: 'PolicyStale', message: 'another' });
    await world.pass(5_000);
    expect(reporter.problems).toEqual([]);
    world.refuse = ({ path }) => (path.includes('/events') ? { status: 403, message: 'no' } : null);
    reporter.report.nodeProblem({ reason: 'PolicyStale', message: 'a third' });
    await world.pass(5_000);
    expect(reporter.problems).toEqual(['Events cannot be written: no']);
  });

  it('have no control characters of others', async () => {
    const world = new ReportWorld();
    const reporter = world.add();
    reporter.report.nodeProblem({ reason: 'PolicyStale', message: 'a\u001b[31mb\nc' });
    await world.pass(5_000);
    expect(world.events[0].message).toBe('a\\u001b[31mb\\nc');
  });
});
