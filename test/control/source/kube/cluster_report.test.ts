/** What a source tells the report: each policy as it is, and what is in force, when it is. */
import { describe, expect, it } from 'vitest';
import { formatHolder } from '../../../../src/control/decode/place.ts';
import type { ObjectRef } from '../../../../src/control/decode/policy_object.ts';
import type { DeniedPod, NodeProblem } from '../../../../src/control/report/policy_report.ts';
import type { RefusedDocument } from '../../../../src/control/set/policy_input.ts';
import type { Reported } from '../../../../src/control/source/kube/cluster_report.ts';
import { allowsApp, KubeSourceRig, policyObject } from '../../../support/kube_source_rig.ts';

const CNP = 'CiliumNetworkPolicy';
const WRONG = { endpointSelector: { matchLabels: { app: 'api' } }, ingres: [] };

class RecordedReport implements Reported {
  readonly put: Reported['put'] = ({ apiKind, name }) =>
    void this.#pending.add(`${apiKind} ${name}`);
  isStarted = false;
  isStopped = false;
  /** Taken over and said to be in force, in that order. */
  readonly settled: string[] = [];
  refused: readonly string[] = [];
  denied: readonly DeniedPod[] = [];
  problem: NodeProblem | null = null;
  readonly #pending = new Set<string>();
  #taken: string[] = [];

  start(): void {
    this.isStarted = true;
  }

  removed({ apiKind, name }: ObjectRef): void {
    this.#pending.delete(`${apiKind} ${name}`);
  }

  taken(): void {
    this.#taken.push(...this.#pending);
    this.#pending.clear();
  }

  inForce(refused: readonly RefusedDocument[]): void {
    this.settled.push(...this.#taken);
    this.#taken = [];
    this.refused = refused.map(({ place }) => formatHolder(place));
  }

  deniedPods(pods: readonly DeniedPod[]): void {
    this.denied = pods;
  }

  nodeProblem(problem: NodeProblem | null): void {
    this.problem = problem;
  }

  async stop(): Promise<void> {
    this.isStopped = true;
  }
}

describe('what a source reports', () => {
  it('begins when all has been listed, and ends with it', async () => {
    const report = new RecordedReport();
    const rig = KubeSourceRig.withPods({ report });
    rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web')));
    rig.start();
    expect(report.isStarted).toBe(false);
    rig.up();
    expect(report.isStarted).toBe(true);
    expect(report.settled).toEqual([`${CNP} api`]);
    await rig.feed.stop();
    expect(report.isStopped).toBe(true);
  });

  it('is which kinds are missing, when a cluster is not listed in time, until it is', () => {
    const report = new RecordedReport();
    const rig = KubeSourceRig.withPods({ report }).start();
    for (const kind of ['Namespace', 'Node', 'Service', 'EndpointSlice', CNP]) {
      rig.cluster.list(kind);
    }
    rig.cluster.health('Pod', { sinceMs: 5, problem: 'pods is forbidden' });
    rig.settle(40_000);
    expect(report.isStarted).toBe(false);
    expect(report.problem).toMatchObject({
      reason: 'ClusterNotListed',
      message: expect.stringContaining('Pod (pods is forbidden)'),
    });
    rig.up();
    expect(report.problem).toBeNull();
  });

  it('is that a policy is in force once it is, and not before', () => {
    const { rig, report } = running();
    rig.cluster.put(CNP, policyObject('shop', 'more', allowsApp('other')));
    expect(report.settled).not.toContain(`${CNP} more`);
    rig.settle();
    expect(report.settled).toContain(`${CNP} more`);
  });

  it('is a status that was written, too, though nothing is offered for it', () => {
    const { rig, report } = running();
    const [reads, settled] = [rig.reads.length, report.settled.length];
    const policy = policyObject('shop', 'api', allowsApp('web'));
    rig.cluster.put(CNP, { ...policy, status: { conditions: [{ type: 'Valid' }] } });
    rig.settle();
    expect(rig.reads).toHaveLength(reads);
    expect(report.settled).toHaveLength(settled + 1);
  });

  it('is who is refused, and which pods of this node are denied for it', () => {
    const { rig, report } = running('deny');
    rig.cluster.put(CNP, policyObject('shop', 'wrong', WRONG));
    rig.settle();
    expect(report.refused).toEqual([`${CNP} shop/wrong`]);
    expect(report.denied).toMatchObject([
      {
        namespace: 'shop',
        name: 'api',
        because: `everything is denied: ${CNP} shop/wrong is refused, and invalidPolicy is deny`,
      },
    ]);
    rig.cluster.remove(CNP, 'shop', 'wrong');
    rig.settle();
    expect(report.refused).toEqual([]);
    expect(report.denied).toEqual([]);
  });

  it('is a pod of this node at which rules exclude each other, until they do not', () => {
    const { rig, report } = running();
    const rules = (l7: object): object => ({
      endpointSelector: { matchLabels: { app: 'api' } },
      egress: [{ toPorts: [{ ports: [{ port: '53', protocol: 'TCP' }], rules: l7 }] }],
    });
    rig.cluster.put(CNP, policyObject('shop', 'names', rules({ dns: [{ matchPattern: '*' }] })));
    rig.cluster.put(CNP, policyObject('shop', 'paths', rules({ http: [{ path: '/' }] })));
    rig.settle();
    expect(report.refused).toEqual([]);
    expect(report.denied).toMatchObject([
      {
        name: 'api',
        because: expect.stringMatching(
          /^everything is denied: conflicting L7 parsers .*: dns and http/,
        ),
      },
    ]);
    rig.cluster.remove(CNP, 'shop', 'paths');
    rig.settle();
    expect(report.denied).toEqual([]);
  });

  it('is no pod where nothing stands in for what is refused', () => {
    const { rig, report } = running('absent');
    rig.cluster.put(CNP, policyObject('shop', 'wrong', WRONG));
    rig.settle();
    expect(report.refused).toEqual([`${CNP} shop/wrong`]);
    expect(report.denied).toEqual([]);
  });
});

function running(invalidPolicy: 'deny' | 'absent' = 'absent'): {
  readonly rig: KubeSourceRig;
  readonly report: RecordedReport;
} {
  const report = new RecordedReport();
  const rig = KubeSourceRig.withPods({ report, invalidPolicy });
  rig.cluster.put(CNP, policyObject('shop', 'api', allowsApp('web')));
  rig.start().up();
  return { rig, report };
}
