/** `sallyport observe` over files and a server. That it shows what `hubble observe` shows: test/conformance/hubble_observe.ts. */
import { create, fromBinary, type JsonObject, toBinary } from '@bufbuild/protobuf';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { runCommandLine } from '../../../src/cli/command_line.ts';
import { messageOfJson } from '../../../src/hubble/flow/flow_json.ts';
import {
  type GetFlowsRequest,
  GetFlowsRequestSchema,
  type GetFlowsResponse,
  GetFlowsResponseSchema,
} from '../../../src/hubble/generated/observer/observer_pb.ts';
import { testIo } from '../test_io.ts';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

const DENIED: JsonObject = {
  time: '2026-03-01T10:00:00Z',
  verdict: 'DROPPED',
  IP: { source: '10.0.0.1', destination: '10.0.0.2' },
  source: { identity: 7001, namespace: 'shop', pod_name: 'web-0' },
  destination: { identity: 7002, namespace: 'shop', pod_name: 'api-0' },
  Type: 'L7',
  traffic_direction: 'INGRESS',
  l7: { type: 'REQUEST', http: { method: 'PUT', url: 'http://api/x' } },
  event_type: { type: 129 },
  is_reply: false,
  Summary: 'HTTP/1.1 PUT http://api/x',
  ingress_denied_by: [
    { name: 'api', namespace: 'shop', labels: ['sallyport:rule=ingressDeny[0].toPorts[1]'] },
  ],
  extensions: {
    '@type': 'type.googleapis.com/google.protobuf.Struct',
    value: {
      ...{ reason: 'denied-by-rule', layer: 'http', endpoint: 'shop/api-0' },
      missingHeaders: [{ name: 'x-token', value: '' }],
    },
  },
};
const ALLOWED: JsonObject = {
  ...DENIED,
  time: '2026-03-01T10:00:01Z',
  verdict: 'FORWARDED',
  ingress_denied_by: [],
  ingress_allowed_by: [
    { name: 'api', namespace: 'shop', labels: ['sallyport:rule=ingress[10].toPorts[0]'] },
  ],
  extensions: {
    '@type': 'type.googleapis.com/google.protobuf.Struct',
    value: { dryRun: { verdict: 'deny', policy: 'shop/next', rule: 'ingress[0]' } },
  },
};
const FLOWS = [DENIED, ALLOWED];
const DENIED_LINE =
  'Mar  1 10:00:00.000: shop/web-0 (ID:7001) -> shop/api-0 (ID:7002) http-request DROPPED (HTTP/1.1 PUT http://api/x)\n';

describe('flows of a file', () => {
  it.each([
    ['an export', FLOWS.map((flow) => ({ flow, node_name: 'n', time: flow['time'] }))],
    ['flows alone', FLOWS],
  ])('are %s', async (_, lines) => {
    const ran = await observe(['--verdict', 'DROPPED'], lines);
    expect(ran).toEqual({ code: 0, out: DENIED_LINE, error: '' });
  });

  it('tell why, on lines below', async () => {
    const { out } = await observe(['--why', '--first', '1']);
    expect(out).toBe(
      `${DENIED_LINE}  denied at ingress by shop/api, rule ingressDeny[0].toPorts[1]
  reason denied-by-rule, layer http, policy of shop/api-0
  asked for, and not there: x-token: 
`,
    );
    expect((await observe(['--why', '--last', '1'])).out).toContain(
      '  with policies in dry-run: deny by shop/next, rule ingress[0]\n',
    );
  });

  it.each([
    [['--policy', 'shop/api'], 2],
    [['--policy', 'shop/api', '--rule', 'ingressDeny[0]'], 1],
    [['--rule', 'ingress[1]'], 0],
    [['--rule', 'ingress[10]'], 1],
    [['--policy', 'other/api'], 0],
    [['--would-deny'], 1],
    [['--since', '2026-03-01T10:00:01Z'], 1],
    [['--until', '2026-03-01T10:00:00Z'], 1],
    [['--namespace', 'shop', '--not', '--verdict', 'DROPPED'], 1],
    [['--to-pod', 'shop/api', '--http-method', 'put'], 2],
    [['--from-pod', 'shop/api'], 0],
    [['--not', '--from-pod', 'shop/web', '--not', '--verdict', 'DROPPED'], 1],
  ])('are chosen by %j', async (flags, count) => {
    const { code, out } = await observe(flags);
    expect(code).toBe(0);
    expect(out.split('\n').length - 1).toBe(count);
  });

  it('that are none are counted', async () => {
    const { code, out, error } = await observe([], [...FLOWS, 'no JSON', { kind: 'Flow' }]);
    expect({ code, lines: out.split('\n').length - 1 }).toEqual({ code: 0, lines: 2 });
    expect(error).toBe('sallyport: observe: -: 2 lines are no flows\n');
  });
});

describe('what is wrong', () => {
  it.each([
    [['--verdict', 'dropped'], /--verdict: "dropped" is none of VERDICT_UNKNOWN, FORWARDED/],
    [['--not'], /--not stands before no filter/],
    [['--first', '1', '--follow'], /give --first or --follow, not both/],
    [['--pod', 'a', '--from-pod', 'b'], /--from-pod and --pod cannot be combined/],
    [['--http-header', 'x'], /--http-header: "x" has no colon/],
    [['--identity', 'nobody'], /is no identity/],
    [['--since', 'yesterday'], /--since: "yesterday" is no time/],
    [['--field-mask', 'no.such', '-o', 'json'], /a flow has no field "no.such"/],
    [['--field-mask', 'time'], /--field-mask is for -o json/],
    [['--http-path', '('], /./],
    [['--allowlist', '{"verdict":7.5}'], /is no filter of flows/],
    [['-o', 'table', '--follow'], /a table has an end/],
    [['--ip-translation=no'], /must be true or false/],
    [['--tls-server-name', 'x', '--server', 'a:1'], /--tls-server-name is for --tls/],
    [['--server', 'nowhere'], /is neither unix:\/\/\/path nor HOST:PORT/],
  ])('with %j is told', async (flags, message) => {
    const isServer = flags.includes('--server');
    const { code, error } = await observe(flags, isServer ? null : FLOWS);
    expect(code).toBe(2);
    expect(error).toMatch(message);
  });

  it('on the way to a server is told', async () => {
    const { code, error } = await observe(['--server', '127.0.0.1:1', '--timeout', '10ms'], null);
    expect({ code, error }).toEqual({
      code: 1,
      error: 'sallyport: observe: 127.0.0.1:1: nobody answers within 10 ms\n',
    });
  });
});

describe('flows of a server', () => {
  it('are asked for by the flags, and shown', async () => {
    const { address, requests } = await server();
    const ran = await observe(['--server', address, '--verdict', 'DROPPED', '--last', '5'], null);
    expect(ran).toMatchObject({ code: 0, error: '' });
    expect(ran.out).toContain(DENIED_LINE);
    expect(requests[0]).toMatchObject({ number: 5n, whitelist: [{ verdict: [2] }] });
    expect(requests[0]?.fieldMask?.paths).toContain('source.pod_name');
  });

  it('that it cannot choose by rule are chosen here', async () => {
    const { address, requests } = await server();
    const flags = ['--server', address, '--rule', 'ingressDeny[0]', '--last', '1'];
    expect((await observe(flags, null)).out).toBe(DENIED_LINE);
    expect(requests[0]?.fieldMask).toBeUndefined();
  });
});

async function observe(
  flags: readonly string[],
  lines: readonly unknown[] | null = FLOWS,
): Promise<{ code: number; out: string; error: string }> {
  const texts = (lines ?? []).map((line) =>
    typeof line === 'string' ? line : JSON.stringify(line),
  );
  const io = testIo({ stdin: texts.map((text) => `${text}\n`).join('') });
  const from = lines === null ? [] : ['--input-file', '-'];
  const code = await runCommandLine(['observe', ...from, ...flags], io);
  return { code, out: io.stdout.text, error: io.stderr.text };
}

async function server(): Promise<{ address: string; requests: GetFlowsRequest[] }> {
  const requests: GetFlowsRequest[] = [];
  const grpc = new Server();
  grpc.addService(
    {
      getFlows: {
        path: '/observer.Observer/GetFlows',
        requestStream: false,
        responseStream: true,
        requestSerialize: (value: GetFlowsRequest) =>
          Buffer.from(toBinary(GetFlowsRequestSchema, value)),
        requestDeserialize: (bytes: Buffer) => fromBinary(GetFlowsRequestSchema, bytes),
        responseSerialize: (value: GetFlowsResponse) =>
          Buffer.from(toBinary(GetFlowsResponseSchema, value)),
        responseDeserialize: (bytes: Buffer) => fromBinary(GetFlowsResponseSchema, bytes),
      },
    },
    {
      getFlows: (call: {
        request: GetFlowsRequest;
        write: (response: GetFlowsResponse) => void;
        end: () => void;
      }) => {
        requests.push(call.request);
        for (const flow of FLOWS) call.write(messageOfJson(GetFlowsResponseSchema, { flow }));
        call.write(create(GetFlowsResponseSchema, {}));
        call.end();
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  cleanups.push(() => grpc.forceShutdown());
  return { address: `127.0.0.1:${port}`, requests };
}
