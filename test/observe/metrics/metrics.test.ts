/** What a worker counts, what the supervisor makes of it, and that no label is a client's choice. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RuleRef } from '../../../src/model/decision.ts';
import { FAULTS, type Fault } from '../../../src/model/fault.ts';
import type { CloseCause } from '../../../src/model/record.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import { resetCauseOf } from '../../../src/model/stream_reset.ts';
import type { MetricsSnapshot } from '../../../src/observe/metrics/counters.ts';
import type { MetricFamily } from '../../../src/observe/metrics/family.ts';
import {
  type InterfaceWaitNumbers,
  MetricsHub,
  type ServiceCounts,
} from '../../../src/observe/metrics/hub.ts';
import { METRICS, type MetricName } from '../../../src/observe/metrics/table.ts';
import { workerFamilies } from '../../../src/observe/metrics/worker_families.ts';
import { RecordCounters } from '../observing.ts';
import { allow, denied, deny, GET_ORDERS, meta, POLICY, record } from '../records.ts';

describe('counting', () => {
  it('decisions, requests, bytes and faults', () => {
    const counters = counting();
    counters.record(record());
    counters.record(denied());
    counters.record(denied({ meta: meta({ direction: 'egress' }), head: null, status: 0 }));
    counters.record(
      record({
        verdict: 'error',
        decision: null,
        head: null,
        status: 400,
        fault: 'malformed-field',
        responseSource: 'local',
      }),
    );
    check(counters, 'sallyport_policy_decisions_total', [
      'allow ingress http none 1',
      'deny ingress http no-http-rule-matched 1',
      'deny egress http no-http-rule-matched 1',
    ]);
    check(counters, 'sallyport_http_requests_total', [
      'GET 200 ingress upstream 1',
      'GET 403 ingress local 1',
      'none 400 ingress local 1',
    ]);
    check(counters, 'sallyport_faults_total', ['malformed-field downstream none 1']);
    check(counters, 'sallyport_bytes_total', [
      'from-downstream ingress 360',
      'from-downstream egress 120',
      'to-downstream ingress 1020',
      'to-downstream egress 340',
    ]);
  });

  it('DNS questions, and messages that are none', () => {
    const counters = counting();
    const asked = { head: null, status: 0, meta: meta({ transport: 'UDP' }) } as const;
    const facts = { name: 'a.test.', type: 'A', rcode: 3, ips: [], ttlSeconds: 0 };
    counters.record(record({ ...asked, question: facts }));
    counters.record(record({ ...asked, question: { ...facts, rcode: 4095 } }));
    counters.record(record({ ...asked, meta: meta(), question: { ...facts, rcode: null } }));
    counters.dnsMessageIgnored('upstream');
    check(counters, 'sallyport_dns_questions_total', [
      'udp forwarded NXDOMAIN upstream 1',
      'udp forwarded other upstream 1',
      'tcp forwarded none upstream 1',
    ]);
    check(counters, 'sallyport_dns_messages_ignored_total', ['downstream 0', 'upstream 1']);
    check(counters, 'sallyport_http_requests_total', []);
  });

  it('dry-run: what was not enforced, and what would have been said', () => {
    const counters = counting();
    counters.record(record({ decision: deny(), isDryRun: true }));
    counters.record(
      record({ shadowDecision: deny({ rule: GET_ORDERS, reason: 'denied-by-rule' }) }),
    );
    check(counters, 'sallyport_policy_dry_run_denials_total', ['ingress 1', 'egress 0']);
    check(counters, 'sallyport_policy_shadow_decisions_total', [
      'deny ingress http denied-by-rule 1',
    ]);
  });

  it('pattern sets that ran out of memory', () => {
    const counters = counting();
    counters.record(denied({ decision: deny({ reason: 'regex-out-of-memory' }) }));
    check(counters, 'sallyport_regex_failures_total', ['ingress 1', 'egress 0']);
  });

  it('connections: opened, closed by cause, open now, cut by a policy change', () => {
    const counters = counting();
    for (const listener of ['api', 'api', 'db', 'unheard-of']) counters.connectionOpened(listener);
    counters.connectionClosed('api', 'finished');
    counters.connectionClosed('db', 'policy-changed');
    check(counters, 'sallyport_connections_opened_total', ['api 2', 'db 1', 'other 1']);
    check(counters, 'sallyport_connections_open', ['api 1', 'db 0', 'other 1']);
    check(counters, 'sallyport_connections_terminated_total', ['policy-changed 1']);
    check(counters, 'sallyport_connections_closed_total', [
      'api finished 1',
      'db policy-changed 1',
    ]);
  });

  it('HTTP/2 streams: opened, open now, ended before their time', () => {
    const counters = counting();
    counters.streamsOpened('api', 5);
    counters.streamsOpened('unheard-of', 1);
    counters.streamsClosed('api', 3);
    counters.streamsReset('downstream', 'CANCEL', 2);
    counters.streamsReset('downstream', resetCauseOf(0xffff_ffff), 1);
    counters.streamsReset('upstream', resetCauseOf(0xd), 1);
    counters.streamsReset('upstream', 'connection-lost', 1);
    counters.streamsReset('proxy', 'stream-refused', 7);
    counters.streamsReset('proxy', 'stream-idle-timeout', 1);
    check(counters, 'sallyport_http2_streams_opened_total', ['api 5', 'db 0', 'other 1']);
    check(counters, 'sallyport_http2_streams_open', ['api 2', 'db 0', 'other 1']);
    check(counters, 'sallyport_http2_streams_reset_total', [
      'downstream CANCEL 2',
      'downstream UNKNOWN 1',
      'upstream HTTP_1_1_REQUIRED 1',
      'upstream connection-lost 1',
      'proxy stream-refused 7',
      'proxy stream-idle-timeout 1',
    ]);
  });

  it('upstream connections and retries', () => {
    const counters = counting();
    counters.upstreamConnected('api', 'connected', 1);
    counters.upstreamConnected('api', 'timeout', 2000);
    counters.upstreamRetried('api');
    check(counters, 'sallyport_upstream_connects_total', [
      'api connected 1',
      'api failed 0',
      'api timeout 1',
      'db connected 0',
      'db failed 0',
      'db timeout 0',
      'other connected 0',
      'other failed 0',
      'other timeout 0',
    ]);
    check(counters, 'sallyport_upstream_retries_total', ['api 1', 'db 0', 'other 0']);
  });

  it('durations in cumulative buckets of seconds', () => {
    const counters = counting();
    for (const overheadMs of [0.004, 0.005, 0.02, 250]) counters.record(record({ overheadMs }));
    const samples = familyOf(counters, 'sallyport_overhead_seconds').samples.filter(
      ({ labels }) => labels['direction'] === 'ingress',
    );
    const bucket = (le: string) => samples.find(({ labels }) => labels['le'] === le)?.value;
    expect([bucket('0.000005'), bucket('0.00001'), bucket('0.000025'), bucket('0.1')]).toEqual([
      2, 2, 3, 3,
    ]);
    expect(bucket('+Inf')).toBe(4);
    expect(samples.find(({ suffix }) => suffix === '_count')?.value).toBe(4);
    expect(samples.find(({ suffix }) => suffix === '_sum')?.value).toBeCloseTo(0.250029);
  });
});

describe('rules', () => {
  it('that never matched are there with 0, but for those that others stand in', () => {
    const counters = counting();
    counters.record(record());
    check(counters, 'sallyport_policy_rule_hits_total', [
      'default/orders-api ingress[0].toPorts[0].rules.http[1] allow 1',
      'default/orders-api ingressDeny[0] deny 0',
    ]);
    expect(
      familyOf(counters, 'sallyport_policy_rule_last_match_timestamp_seconds').samples,
    ).toEqual([
      {
        suffix: '',
        labels: { policy: GET_ORDERS.policy, rule: GET_ORDERS.rule },
        value: 1_700_000_000.1275678,
      },
    ]);
  });

  it('that the engine made are told of only when they matched', () => {
    const counters = counting();
    const rule = { policy: 'reserved:allow-localhost', rule: '', index: 0 };
    counters.policyChanged({ ...POLICY, rules: [rule] });
    check(counters, 'sallyport_policy_rule_hits_total', []);
    counters.record(record({ decision: allow({ rule }) }));
    check(counters, 'sallyport_policy_rule_hits_total', ['reserved:allow-localhost  allow 1']);
  });

  it('keep their counts over a reload that keeps them, wherever they stand then', () => {
    const counters = counting();
    counters.record(record());
    const moved: RuleRef = { ...GET_ORDERS, index: 0 };
    const fresh: RuleRef = { policy: 'default/new', rule: 'ingress[0]', index: 1 };
    counters.policyChanged({
      ...POLICY,
      rules: [moved, fresh],
      policyNames: [moved.policy, fresh.policy],
    });
    counters.record(record({ decision: allow({ rule: moved }) }));
    // A request that was judged before the reload.
    counters.record(record());
    check(counters, 'sallyport_policy_rule_hits_total', [
      'default/orders-api ingress[0].toPorts[0].rules.http[1] allow 3',
      'default/new ingress[0] allow 0',
    ]);
  });

  it('that have left are counted as "other"', () => {
    const counters = counting();
    counters.policyChanged({ ...POLICY, rules: [] });
    counters.record(record());
    check(counters, 'sallyport_policy_rule_hits_total', ['other other allow 1']);
  });

  it('beyond the bound share one counter', () => {
    const counters = counting({ ruleCountMax: 10 });
    const rules = Array.from({ length: 50 }, (_, index) => ({
      policy: 'p',
      rule: `ingress[${index}]`,
      index,
    }));
    counters.policyChanged({ ...POLICY, rules });
    for (const rule of rules) counters.record(record({ decision: allow({ rule }) }));
    const { samples } = familyOf(counters, 'sallyport_policy_rule_hits_total');
    expect(samples).toHaveLength(11);
    expect(samples.at(-1)).toMatchObject({ labels: { rule: 'other' }, value: 40 });
  });
});

describe('labels', () => {
  it('have values of a fixed set, whatever a client sends', () => {
    const allowed = new Map<string, Set<string>>();
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.integer(), (method, path, status) => {
        const counters = counting();
        const head = plainHead({ method, path, authority: path });
        counters.record(record({ head, status, serverName: path }));
        for (const { name, samples } of counters.families()) {
          for (const { labels } of samples) {
            for (const [label, value] of Object.entries(labels)) {
              const key = `${name} ${label}`;
              allowed.set(key, (allowed.get(key) ?? new Set()).add(value));
            }
          }
        }
      }),
    );
    expect(allowed.get('sallyport_http_requests_total method')?.size).toBeLessThanOrEqual(11);
    expect(allowed.get('sallyport_http_requests_total status')?.size).toBeLessThanOrEqual(75);
  });

  it.each([
    ['BREW', 200, 'other 200'],
    ['get', 299, 'other 2xx'],
    ['GET', 0, 'GET none'],
    ['GET', 999, 'GET other'],
    ['PATCH', 418, 'PATCH 418'],
  ])('%s, status %i: %s', (method, status, expected) => {
    const counters = counting();
    counters.record(record({ head: plainHead({ method, path: '/', authority: '' }), status }));
    check(counters, 'sallyport_http_requests_total', [`${expected} ingress upstream 1`]);
  });

  it('are those of the table, for every metric', () => {
    const counters = counting();
    for (const fault of Object.keys(FAULTS) as Fault[]) counters.record(denied({ fault }));
    for (const cause of ['finished', 'timeout'] satisfies CloseCause[]) {
      counters.connectionClosed('api', cause);
    }
    for (const { name, samples } of counters.families()) {
      for (const { labels } of samples) {
        expect(Object.keys(labels).filter((label) => label !== 'le')).toEqual(METRICS[name].labels);
      }
    }
  });
});

describe('merging', () => {
  it('sums what workers counted', async () => {
    const hub = hubOf();
    const text = await textOf(hub, [requests(0, 'a', 5), requests(1, 'b', 7)]);
    expect(text).toContain(`${REQUESTS} 12\n`);
  });

  it('renders every metric with its help and type, under the names of the table', async () => {
    const hub = hubOf();
    const counters = counting();
    counters.record(record());
    const text = await textOf(hub, [snapshotOf(0, 'a', counters)]);
    expect(text).toMatch(
      /# HELP sallyport_overhead_seconds What the proxy itself took.*\n# TYPE sallyport_overhead_seconds histogram\nsallyport_overhead_seconds_bucket\{direction="ingress",le="0.000005"\} 0\n/,
    );
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      const name = /^[a-z_]+/.exec(line)?.[0].replace(/_(bucket|sum|count)$/, '') ?? '';
      expect(Object.keys(METRICS).filter((known) => known.startsWith(name))).not.toEqual([]);
    }
  });

  it('never goes back when workers die, are replaced, or do not answer', async () => {
    const hub = hubOf();
    const seen: number[] = [];
    const scrape = async (snapshots: readonly MetricsSnapshot[]): Promise<void> => {
      const text = await textOf(hub, snapshots);
      seen.push(Number(/^sallyport_http_requests_total\{.*\} (\d+)$/m.exec(text)?.[1]));
    };
    await scrape([requests(0, 'a', 5), requests(1, 'b', 7)]);
    await scrape([requests(0, 'a', 6)]);
    await scrape([requests(0, 'c', 1), requests(1, 'b', 7)]);
    await scrape([requests(0, 'd', 0), requests(1, 'b', 8)]);
    await scrape([]);
    expect(seen).toEqual([12, 13, 14, 15, 15]);
  });

  it('forgets the gauges of the dead', async () => {
    const hub = hubOf();
    const open = (instanceId: string, value: number): MetricsSnapshot =>
      one(0, instanceId, {
        name: 'sallyport_connections_open',
        samples: [{ suffix: '', labels: { listener: 'api' }, value }],
      });
    await textOf(hub, [open('a', 9)]);
    expect(await textOf(hub, [open('b', 1)])).toContain(
      'sallyport_connections_open{listener="api"} 1\n',
    );
  });

  it('does not pile up rules of dead workers that are no longer in force', async () => {
    const hub = hubOf();
    for (let i = 0; i < 5; i++) {
      const counters = counting();
      const rule = { policy: 'p', rule: `ingress[${i}]`, index: 0 };
      counters.policyChanged({ ...POLICY, rules: [rule], policyNames: ['p'] });
      counters.record(record({ decision: allow({ rule }) }));
      await textOf(hub, [snapshotOf(0, String(i), counters)]);
    }
    const text = await textOf(hub, []);
    expect(text.match(/^sallyport_policy_rule_hits_total/gm)).toHaveLength(1);
  });

  it('keeps the hits of rules that are still in force when their worker dies', async () => {
    const hub = hubOf();
    for (const instanceId of ['a', 'b']) {
      const counters = counting();
      counters.record(record());
      await textOf(hub, [snapshotOf(0, instanceId, counters)]);
    }
    const merged = await hub.merge([], {});
    expect(merged.ruleHits()).toEqual([
      {
        policy: 'default/orders-api',
        rule: 'ingressDeny[0]',
        allowed: 0,
        denied: 0,
        lastMatch: null,
      },
      {
        policy: 'default/orders-api',
        rule: 'ingress[0].toPorts[0].rules.http[1]',
        allowed: 2,
        denied: 0,
        lastMatch: '2023-11-14T22:13:20.127Z',
      },
    ]);
    expect(merged.summary()).toMatchObject({ requests: 2, allowed: 2, rules: 3, unusedRules: 1 });
  });

  it('escapes label values', async () => {
    const counters = counting();
    const rule = { policy: 'a"b\\c\nd', rule: 'r', index: 0 };
    counters.policyChanged({ ...POLICY, rules: [rule], policyNames: [rule.policy] });
    expect(await textOf(hubOf(), [snapshotOf(0, 'a', counters)])).toContain(
      'sallyport_policy_rule_hits_total{policy="a\\"b\\\\c\\nd",rule="r",verdict="allow"} 0\n',
    );
  });

  it('keeps apart what each worker has to do, as the kernel deals out connections, not work', async () => {
    const idle = counting();
    idle.connectionOpened('api');
    const busy = counting();
    for (const listener of ['api', 'db', 'db']) busy.connectionOpened(listener);
    busy.connectionClosed('db', 'finished');
    busy.streamsOpened('api', 3);
    busy.streamsClosed('api', 1);
    for (let i = 0; i < 5; i++) busy.record(record());
    const hub = hubOf();
    const snapshots = [idle, busy].map((counters, index): MetricsSnapshot => {
      const families = workerFamilies(String(index), counters.load());
      return { workerIndex: index, instanceId: `w${index}`, families };
    });
    const merged = await hub.merge(snapshots, {});
    const text = await merged.text();
    for (const line of [
      'sallyport_worker_connections_open{worker="0"} 1',
      'sallyport_worker_connections_open{worker="1"} 2',
      'sallyport_worker_http2_streams_open{worker="1"} 2',
      'sallyport_worker_http_requests_total{worker="0"} 0',
      'sallyport_worker_http_requests_total{worker="1"} 5',
    ]) {
      expect(text).toContain(`${line}\n`);
    }
    expect(text).toMatch(/^sallyport_worker_busy_seconds_total\{worker="1"\} [0-9.e-]+$/m);
    expect(merged.summary().workerLoads).toMatchObject({
      '0': { connectionsOpen: 1, streamsOpen: 0, requests: 0 },
      '1': { connectionsOpen: 2, streamsOpen: 2, requests: 5 },
    });
  });

  it('adds what only the supervisor knows', async () => {
    const hub = hubOf();
    hub.policyUpdated('accepted', 4);
    hub.policyUpdated('rejected', 4);
    hub.workerRestarted();
    const text = await (await hub.merge([], { listening: 2, waiting: 1 })).text();
    for (const line of [
      'sallyport_policy_updates_total{result="accepted"} 1',
      'sallyport_policy_updates_total{result="rejected"} 1',
      'sallyport_policy_updates_total{result="failed"} 0',
      'sallyport_policy_revision 4',
      'sallyport_policy_last_update_timestamp_seconds 1700000000',
      'sallyport_workers{state="listening"} 2',
      'sallyport_workers{state="waiting"} 1',
      'sallyport_worker_restarts_total 1',
      `sallyport_build_info{version="1.2.3",node_version="${process.versions.node}"} 1`,
    ]) {
      expect(text).toContain(`${line}\n`);
    }
    expect(text).toMatch(/^process_resident_memory_bytes\{worker="supervisor"\} \d{7,}$/m);
  });

  it('survives structured cloning, as between processes', async () => {
    const counters = counting();
    counters.record(record());
    const snapshot = snapshotOf(0, 'a', counters);
    expect(structuredClone(snapshot)).toEqual(snapshot);
    expect(JSON.parse(JSON.stringify(snapshot))).toEqual(snapshot);
  });
});

const REQUESTS =
  'sallyport_http_requests_total{method="GET",status="200",direction="ingress",response_source="upstream"}';

function counting(options: { readonly ruleCountMax?: number } = {}): RecordCounters {
  const counters = new RecordCounters({ listeners: ['api', 'db'], ruleCountMax: 1000, ...options });
  counters.policyChanged(POLICY);
  return counters;
}

/** Samples as "label label value", those of 0 left out when the metric has many. */
function check(counters: RecordCounters, name: MetricName, expected: readonly string[]): void {
  const lines = familyOf(counters, name).samples.map(({ labels, value }) =>
    [...Object.values(labels), value].join(' '),
  );
  expect(lines).toEqual(expected);
}

function familyOf(counters: RecordCounters, name: MetricName): MetricFamily {
  const family = counters.families().find((one) => one.name === name);
  if (family === undefined) throw new Error(`no ${name}`);
  return family;
}

let waits: InterfaceWaitNumbers | null = null;

it('tells of interfaces and pods that wait for each other, where somebody looks for them', async () => {
  expect(await textOf(hubOf(), [])).not.toContain('sallyport_redirect_');
  waits = {
    ...{ interfaces: 2, pods: 1, overdue: 1, oldestSinceMs: 1, overdueTotal: 4 },
    ...{ openedTotal: 3, openedWaitMsTotal: 4500 },
  };
  const text = await textOf(hubOf(), []);
  waits = null;
  expect(text).toContain('sallyport_redirect_interfaces_waiting 2\n');
  expect(text).toContain('sallyport_redirect_pods_waiting 1\n');
  expect(text).toContain('sallyport_redirect_waits_overdue_total 4\n');
  expect(text).toContain('sallyport_redirect_interface_wait_seconds_total 4.5\n');
  expect(text).toMatch(/sallyport_redirect_oldest_wait_seconds \d+/);
});

let serviceCounts: ServiceCounts | null = null;

it('tells what became of dialled Services, where they are translated at sockets', async () => {
  expect(await textOf(hubOf(), [])).not.toContain('sallyport_service_');
  serviceCounts = {
    ...{ connected: 7n, sent: 5n, refused: 3n, unsettled: 1n },
    ...{ kept: 4n, 'chosen-anew': 2n, forgotten: 6n },
  };
  const text = await textOf(hubOf(), []);
  serviceCounts = null;
  const lines = text.split('\n').filter((line) => line.startsWith('sallyport_service_'));
  expect(lines).toEqual([
    'sallyport_service_dials_total{result="connected"} 7',
    'sallyport_service_dials_total{result="sent"} 5',
    'sallyport_service_dials_total{result="refused"} 3',
    'sallyport_service_dials_total{result="unsettled"} 1',
    'sallyport_service_affinity_kept_total 4',
    'sallyport_service_backends_chosen_anew_total 2',
    'sallyport_service_dials_forgotten_total 6',
  ]);
});

function hubOf(): MetricsHub {
  return new MetricsHub({
    isPolicyCurrent: () => true,
    refusedObjectCount: () => 3,
    interfaceWaits: () => waits,
    serviceCounts: () => serviceCounts,
    clusterHealth: () => null,
    version: '1.2.3',
    clock: { nowMs: () => 0, wallMs: () => 1_700_000_000_000 },
  });
}

async function textOf(hub: MetricsHub, snapshots: readonly MetricsSnapshot[]): Promise<string> {
  return (await hub.merge(snapshots, { listening: 1 })).text();
}

function requests(workerIndex: number, instanceId: string, count: number): MetricsSnapshot {
  const counters = counting();
  for (let i = 0; i < count; i++) counters.record(record());
  return snapshotOf(workerIndex, instanceId, counters);
}

function snapshotOf(
  workerIndex: number,
  instanceId: string,
  counters: RecordCounters,
): MetricsSnapshot {
  return { workerIndex, instanceId, families: counters.families() };
}

function one(workerIndex: number, instanceId: string, family: MetricFamily): MetricsSnapshot {
  return { workerIndex, instanceId, families: [family] };
}
