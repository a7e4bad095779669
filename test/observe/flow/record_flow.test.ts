/** What a flow tells of a record: who the sides are, what was asked, as it may be shown. */
import { describe, expect, it } from 'vitest';
import type { ConnectionMeta } from '../../../src/model/connection_meta.ts';
import type { Identity } from '../../../src/model/identity.ts';
import type { RequestRecord } from '../../../src/model/record.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import type { JudgedFrontend } from '../../../src/model/service_frontend.ts';
import { flowDocument } from '../../../src/observe/flow/flow_document.ts';
import { RecordFlow } from '../../../src/observe/flow/record_flow.ts';
import type { ObservedPolicy } from '../../../src/observe/observed_policy.ts';
import { address, allow, denied, deny, meta, POLICY, record } from '../records.ts';

const SECRET = 'secret-value';

function flowOf(from: RequestRecord, policy: ObservedPolicy = POLICY): RecordFlow {
  const flow = new RecordFlow({
    instance: 'worker',
    node: 'node-1',
    headers: ['x-request-id', 'authorization', 'x-request-id'],
    isQueryLogged: false,
  });
  flow.policyChanged(policy, [SECRET]);
  return flow.take(from);
}

describe('the sides of a flow', () => {
  it('have names, labels and the namespace of who is behind the address', () => {
    const { source, destination, connection } = flowOf(record());
    expect(destination).toEqual({
      ip: '10.0.0.7',
      port: 8080,
      identity: 1001,
      labels: ['k8s:app=orders'],
      namespace: 'default',
      pod: 'orders',
      workload: null,
      names: [],
      service: null,
    });
    expect(source).toMatchObject({ identity: 43, namespace: 'default', pod: '' });
    expect(connection).toMatchObject({ id: 12, direction: 'ingress', endpoint: 'default/orders' });
  });

  it('have the names by which an address was found, without patterns', () => {
    const labels = ['cidr:192.0.2.1/32', 'fqdn:*.example.com', 'fqdn:api.example.com'];
    const policy = { ...POLICY, labels: { labelsOf: () => labels } };
    const egress = meta({
      direction: 'egress',
      source: address('10.0.0.7:40100'),
      destination: address('192.0.2.1:443'),
      endpointIp: address('10.0.0.7:0').ip,
      remoteIdentity: 16_777_217 as Identity,
    });
    expect(flowOf(record({ meta: egress }), policy).destination.names).toEqual(['api.example.com']);
  });

  it('are those of the policy whose word it was', () => {
    const both = meta({
      direction: 'egress',
      endpointIp: address('10.0.1.9:0').ip,
      remoteIdentity: 1001 as Identity,
      second: {
        direction: 'ingress',
        endpointIp: address('10.0.0.7:0').ip,
        remoteIdentity: 43 as Identity,
      },
    });
    const first = flowOf(record({ meta: both, decision: deny({ half: 'egress' }) }));
    expect(first.connection).toMatchObject({ direction: 'egress', endpoint: '10.0.1.9' });
    const second = flowOf(record({ meta: both, decision: allow({ half: 'ingress' }) }));
    expect(second.connection).toMatchObject({ direction: 'ingress', endpoint: 'default/orders' });
  });

  it('name the Service that has an address, and are who is behind it, where that is one identity', () => {
    const services = {
      named: ({ ip, port }: { readonly ip: string; readonly port: number }, isNode: boolean) =>
        ip === '10.96.0.1' && port === 80 && !isNode ? 'shop/web' : null,
    };
    const destination = address('10.96.0.1:80');
    const backends = [address('10.0.0.7:8080')];
    const frontend: JudgedFrontend = {
      ...{ service: 'shop/web', kind: 'ClusterIP', protocol: 'TCP', family: 4 },
      ...{ ip: destination.ip, port: destination.port, backends },
    };
    const flow = (identities: readonly number[]) => {
      const behind = identities.map((one) => ({
        identity: one as Identity,
        port: destination.port,
      }));
      const to: ConnectionMeta = meta({
        ...{ direction: 'egress', destination, remoteIdentity: 2 as Identity },
        dialled: { frontend, behind },
      });
      return flowOf(record({ meta: to }), { ...POLICY, services });
    };
    const service = { namespace: 'shop', name: 'web' };
    expect(flow([1001, 1001]).destination).toMatchObject({ identity: 1001, service });
    expect(flow([1001, 43]).destination).toMatchObject({ identity: 2, service });
    expect(flow([]).source.service).toBeNull();
    expect(flowDocument(flow([1001]))).toMatchObject({ destination_service: service });
    expect(flowDocument(flow([1001]))).not.toHaveProperty('source_service');
  });

  it('are worked out once for a connection and a policy', () => {
    let asked = 0;
    const counted = (): ObservedPolicy => ({
      ...POLICY,
      endpoint: (ip) => {
        asked++;
        return POLICY.endpoint(ip);
      },
    });
    const flow = flowOf(record(), counted());
    expect(asked).toBe(0);
    const { connection } = flow;
    const afterFirst = asked;
    expect(afterFirst).toBeGreaterThan(0);
    const { meta: same } = record();
    flow.take(record({ meta: same }));
    const { connection: second } = flow;
    for (let i = 0; i < 100; i++) expect(flow.take(record({ meta: same })).connection).toBe(second);
    expect(asked).toBe(2 * afterFirst);
    expect(second).not.toBe(connection);
    flow.policyChanged(counted(), []);
    expect(flow.take(record({ meta: same })).connection).not.toBe(second);
  });
});

describe('what was asked', () => {
  it('is shown without what may not be shown', () => {
    const head = plainHead({
      method: 'POST',
      authority: `${SECRET}.test`,
      path: `/shop.Cart/Add${SECRET}?token=1`,
      isGrpc: true,
      fields: ['x-request-id', `a-${SECRET}`, 'authorization', 'Bearer x', 'x-other', 'y'],
    });
    const { facts } = flowOf(record({ head, grpcStatus: 7 }));
    expect(facts).toMatchObject({
      kind: 'http',
      seen: 'whole',
      host: '[redacted].test',
      path: '/shop.Cart/Add[redacted]',
      grpc: { service: 'shop.Cart', method: 'Add[redacted]', status: 7 },
      headers: [
        ['x-request-id', '[redacted]'],
        ['authorization', '[redacted]'],
      ],
    });
  });

  it('of a refused head is what was seen of it', () => {
    const partial = {
      version: 'HTTP/1.1',
      method: 'GET',
      authority: '',
      path: '/a?b',
      isCut: true,
    } as const;
    const refused = record({ head: null, partial, status: 400, fault: 'malformed-head' as never });
    expect(flowOf(refused).facts).toMatchObject({ seen: 'part', path: '/a', isCut: true });
  });

  it.each([
    [
      { head: null, status: 0, serverName: 'a.test' },
      { kind: 'tls', serverName: 'a.test' },
    ],
    [{ head: null, status: 0 }, { kind: 'transport' }],
    [
      { head: null, status: 503 },
      { kind: 'http', seen: 'nothing', method: '' },
    ],
  ])('of %j is %j', (changes, facts) => {
    expect(flowOf(record(changes)).facts).toMatchObject(facts);
  });

  it('values that policies refused are redacted, each once', () => {
    const missing = [['x-token', SECRET]] as const;
    const flow = flowOf(denied({ decision: deny({ missing }) }));
    expect(flow.missing).toEqual([['x-token', '[redacted]']]);
    expect(flow.missing).toBe(flow.missing);
    expect(flow.take(record()).missing).toEqual([]);
  });
});

it('each flow of a worker has a number of its own', () => {
  const flow = flowOf(record());
  const numbers = Array.from({ length: 5 }, () => flow.take(record()).number);
  expect(new Set(numbers).size).toBe(5);
});
