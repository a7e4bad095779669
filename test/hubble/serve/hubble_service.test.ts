/** A client of gRPC at the service: what it is answered, and how far it gets. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type Message } from '@bufbuild/protobuf';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import {
  Health,
  HealthCheckRequestSchema,
} from '../../../src/hubble/generated/health/health_pb.ts';
import {
  GetAgentEventsRequestSchema,
  GetDebugEventsRequestSchema,
  GetFlowsRequestSchema,
  type GetFlowsResponse,
  GetNamespacesRequestSchema,
  Observer,
  ServerStatusRequestSchema,
} from '../../../src/hubble/generated/observer/observer_pb.ts';
import { NotifyRequestSchema, Peer } from '../../../src/hubble/generated/peer/peer_pb.ts';
import {
  ServerReflection,
  ServerReflectionRequestSchema,
} from '../../../src/hubble/generated/reflection/reflection_pb.ts';
import { HubbleService } from '../../../src/hubble/serve/hubble_service.ts';
import { serviceDefinition } from '../../../src/hubble/serve/method.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../src/model/limits.ts';
import { FlowBatch } from '../../../src/observe/flow/wire/flow_batch.ts';
import { nodePlatform } from '../../../src/platform/node_platform.ts';
import { until } from '../../support/until.ts';
import { flowCases } from '../flow/flow_cases.ts';

const BASE = (flowCases[0] as (typeof flowCases)[0]).flow;
const ended: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

interface Serving {
  readonly service: HubbleService;
  readonly client: Client;
  readonly path: string;
}

async function serve(limits: Partial<Limits> = {}): Promise<Serving> {
  const folder = mkdtempSync(join(tmpdir(), 'hubble-'));
  const path = join(folder, 'hubble.sock');
  const service = new HubbleService({
    settings: {
      socket: { path, group: null },
      tcp: null,
      ...{ announced: '10.0.0.9:4244', cluster: 'default', node: 'node-1' },
    },
    limits: { ...DEFAULT_LIMITS, ...limits },
    version: '1.2.3',
    sinks: [],
    clock: nodePlatform().clock,
    onError: (error) => expect.fail(String(error)),
    onProblem: (problem) => expect.fail(problem),
  });
  expect(await service.start()).toEqual([`unix:${path}`]);
  const client = new Client(`unix:${path}`, credentials.createInsecure());
  ended.push(
    () => rmSync(folder, { recursive: true, force: true }),
    () => service.stop(),
    () => client.close(),
  );
  return { service, client, path };
}

function push(service: HubbleService, count: number): void {
  const batch = new FlowBatch(BASE);
  for (let number = 1; number <= count; number++) batch.add({ ...BASE, number });
  service.push(batch.take());
}

function ask(client: Client, method: string, request: Message): Promise<Message> {
  const { path, requestSerialize, responseDeserialize } = methodOf(method);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      (error, answer) => (error === null ? resolve(answer as Message) : reject(error)),
    );
  });
}

class Streamed {
  readonly messages: Message[] = [];
  error: ServiceError | null = null;
  isOver = false;

  constructor(client: Client, method: string, request: Message) {
    const { path, requestSerialize, responseDeserialize } = methodOf(method);
    const call = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
    );
    call.on('data', (message: Message) => this.messages.push(message));
    call.on('error', (error: ServiceError) => {
      this.error = error;
      this.isOver = true;
    });
    call.on('end', () => {
      this.isOver = true;
    });
    ended.push(() => call.cancel());
  }
}

function methodOf(name: string) {
  for (const service of [Observer, Peer, Health, ServerReflection]) {
    const method = serviceDefinition(service)[name];
    if (method !== undefined) return method;
  }
  throw new Error(`no method ${name}`);
}

const flowsRequest = (init: Parameters<typeof create<typeof GetFlowsRequestSchema>>[1]) =>
  create(GetFlowsRequestSchema, init);

describe('GetFlows', () => {
  it('gives flows with all that is known of them, then ends', async () => {
    const { service, client } = await serve();
    push(service, 2);
    const stream = new Streamed(client, 'GetFlows', flowsRequest({}));
    await until(() => stream.isOver);
    expect(stream.error).toBeNull();
    expect(stream.messages).toHaveLength(4);
    expect(stream.messages[0]).toMatchObject({
      nodeName: 'default/node-1',
      responseTypes: { case: 'flow', value: { extensions: {}, destination: { podName: 'api-1' } } },
    });
  });

  it('gives the fields of the mask alone', async () => {
    const { service, client } = await serve();
    push(service, 1);
    const fieldMask = { paths: ['source.pod_name', 'l7'] };
    const stream = new Streamed(client, 'GetFlows', flowsRequest({ fieldMask, number: 1n }));
    await until(() => stream.isOver);
    const [{ responseTypes }] = stream.messages as [GetFlowsResponse];
    expect(responseTypes).toMatchObject({ value: { source: { podName: 'api-1', identity: 0 } } });
    expect(responseTypes).toMatchObject({ value: { l7: {}, Summary: '', uuid: '' } });
    expect(responseTypes).not.toHaveProperty('value.extensions');
  });

  it('follows until the client goes', async () => {
    const { service, client } = await serve();
    const stream = new Streamed(client, 'GetFlows', flowsRequest({ follow: true }));
    // It follows from when it was heard.
    await until(() => {
      push(service, 1);
      return stream.messages.length > 3;
    });
    expect(stream.isOver).toBe(false);
  });

  it('tells a client that did not read how many it lost, and holds up nobody for it', async () => {
    const { service, client } = await serve({ hubbleRingCountMax: 100 });
    const { path, requestSerialize, responseDeserialize } = methodOf('GetFlows');
    const slow = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      flowsRequest({ follow: true }),
    );
    ended.push(() => slow.cancel());
    slow.on('error', () => {});
    await once(slow, 'metadata');
    const quick = new Streamed(client, 'GetFlows', flowsRequest({ follow: true }));
    let pushed = 0;
    // Far more than sockets and streams hold on the way to it.
    await until(() => {
      for (let i = 0; i < 20; i++) push(service, 50);
      pushed += 1000;
      return pushed >= 20_000 && quick.messages.length > 1000;
    });
    const cases = new Set<string | undefined>();
    slow.on('data', ({ responseTypes }: GetFlowsResponse) => cases.add(responseTypes.case));
    await until(() => cases.has('flow') && cases.has('lostEvents'));
  });

  it.each<[string, Parameters<typeof flowsRequest>[0]]>([
    ['first cannot be specified with follow', { first: true, follow: true }],
    ['invalid IP address "x" in filter', { whitelist: [{ sourceIp: ['x'] }] }],
    ['a flow has no field "podname"', { fieldMask: { paths: ['podname'] } }],
    [
      'filters have more than 32 patterns',
      { blacklist: [{ httpPath: Array.from({ length: 33 }, () => 'a') }] },
    ],
    [
      'filters have more than 32 patterns',
      { whitelist: Array.from({ length: 33 }, () => ({ sourceFqdn: ['*a'] })) },
    ],
  ])('refuses: %s', async (details, request) => {
    const { client } = await serve();
    const stream = new Streamed(client, 'GetFlows', flowsRequest(request));
    await until(() => stream.isOver);
    expect(stream.error).toMatchObject({ code: status.INVALID_ARGUMENT, details });
  });

  it('refuses a request that is too long, and streams above the bound', async () => {
    const { service, client, path } = await serve({
      hubbleStreamCountMax: 1,
      hubbleRequestBytesMax: 1024,
    });
    const long = flowsRequest({ whitelist: [{ uuid: ['x'.repeat(2000)] }] });
    const refused = new Streamed(client, 'GetFlows', long);
    await until(() => refused.isOver);
    expect(refused.error).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    const first = new Streamed(client, 'GetFlows', flowsRequest({ follow: true }));
    await until(() => {
      push(service, 1);
      return first.messages.length > 0;
    });
    const other = new Client(`unix:${path}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    ended.push(() => other.close());
    const second = new Streamed(other, 'GetFlows', flowsRequest({ follow: true }));
    await until(() => second.isOver);
    expect(second.error).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expect(first.isOver).toBe(false);
  });

  it('has no events of an agent, and waits for none that come', async () => {
    const { client } = await serve();
    for (const [method, schema] of [
      ['GetAgentEvents', GetAgentEventsRequestSchema],
      ['GetDebugEvents', GetDebugEventsRequestSchema],
    ] as const) {
      const stream = new Streamed(client, method, create(schema));
      await until(() => stream.isOver);
      expect([stream.messages, stream.error]).toEqual([[], null]);
    }
  });
});

describe('what is known of the node', () => {
  it('is its counts, its name and its namespaces', async () => {
    const { service, client, path } = await serve();
    push(service, 3);
    expect(await ask(client, 'ServerStatus', create(ServerStatusRequestSchema))).toMatchObject({
      ...{ numFlows: 3n, maxFlows: 4095n, seenFlows: 3n, version: '1.2.3' },
    });
    expect(await ask(client, 'GetNodes', create(ServerStatusRequestSchema))).toMatchObject({
      nodes: [{ name: 'default/node-1', address: '10.0.0.9:4244', tls: { enabled: false } }],
    });
    expect(await ask(client, 'GetNamespaces', create(GetNamespacesRequestSchema))).toMatchObject({
      namespaces: [{ cluster: 'default', namespace: 'shop' }],
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('is told to relays, which stay', async () => {
    const { client } = await serve();
    const stream = new Streamed(client, 'Notify', create(NotifyRequestSchema));
    await until(() => stream.messages.length > 0);
    expect(stream.messages).toMatchObject([{ name: 'default/node-1', address: '10.0.0.9:4244' }]);
    expect(stream.isOver).toBe(false);
  });

  it('is that it is well, by the names that are asked for', async () => {
    const { client } = await serve();
    for (const service of ['', 'hubble.server.Observer', 'observer.Observer']) {
      const request = create(HealthCheckRequestSchema, { service });
      expect(await ask(client, 'Check', request)).toMatchObject({ status: 1 });
    }
    const unknown = ask(client, 'Check', create(HealthCheckRequestSchema, { service: 'x' }));
    await expect(unknown).rejects.toMatchObject({ code: status.NOT_FOUND });
  });

  it('is what can be asked', async () => {
    const { client } = await serve();
    const { path, requestSerialize, responseDeserialize } = methodOf('ServerReflectionInfo');
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    const answers: Message[] = [];
    call.on('data', (message: Message) => answers.push(message));
    for (const messageRequest of [
      { case: 'listServices', value: '' },
      { case: 'fileContainingSymbol', value: 'observer.Observer' },
      { case: 'fileByFilename', value: 'flow/flow.proto' },
      { case: 'fileContainingSymbol', value: 'no.Such' },
    ] as const) {
      call.write(create(ServerReflectionRequestSchema, { messageRequest }));
    }
    call.end();
    await once(call, 'end');
    expect(answers).toMatchObject([
      {
        messageResponse: {
          case: 'listServicesResponse',
          value: { service: [{ name: 'observer.Observer' }, { name: 'peer.Peer' }, {}] },
        },
      },
      { messageResponse: { case: 'fileDescriptorResponse' } },
      { messageResponse: { case: 'fileDescriptorResponse' } },
      { messageResponse: { case: 'errorResponse' } },
    ]);
  });
});
