/** Nodes behind a relay, asked as clients ask it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type Message } from '@bufbuild/protobuf';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import {
  GetFlowsRequestSchema,
  type GetFlowsResponse,
  GetNodesRequestSchema,
  type GetNodesResponse,
  Observer,
  ServerStatusRequestSchema,
  type ServerStatusResponse,
} from '../../../src/hubble/generated/observer/observer_pb.ts';
import { NodeState } from '../../../src/hubble/generated/relay/relay_pb.ts';
import type { NodeTlsFiles } from '../../../src/hubble/relay/node_client.ts';
import { NodeLink, type RelayPeer } from '../../../src/hubble/relay/node_link.ts';
import { parseNode } from '../../../src/hubble/relay/node_text.ts';
import { RelayService, type RelaySettings } from '../../../src/hubble/relay/relay_service.ts';
import { HubbleService } from '../../../src/hubble/serve/hubble_service.ts';
import { serviceDefinition } from '../../../src/hubble/serve/method.ts';
import { parseSocketAddress, type SocketAddress } from '../../../src/model/address.ts';
import type { HubbleTlsFiles } from '../../../src/model/hubble_settings.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { FlowBatch } from '../../../src/observe/flow/wire/flow_batch.ts';
import { nodePlatform } from '../../../src/platform/node_platform.ts';
import { TestAuthority } from '../../support/test_certificates.ts';
import { until } from '../../support/until.ts';
import { flowCases } from '../flow/flow_cases.ts';

const BASE = (flowCases[0] as (typeof flowCases)[0]).flow;
const { clock } = nodePlatform();
const ANY_PORT = parseSocketAddress('127.0.0.1:0') as SocketAddress;
const ended: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'relay-'));
  ended.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function startNode(folder: string, node: string): Promise<HubbleService> {
  const service = new HubbleService({
    settings: {
      socket: { path: join(folder, `${node}.sock`), group: null },
      ...{ tcp: null, announced: '', cluster: 'default', node },
    },
    limits: DEFAULT_LIMITS,
    version: '1.2.3',
    sinks: [],
    clock,
    onError: (error) => expect.fail(String(error)),
    onProblem: (problem) => expect.fail(problem),
  });
  await service.start();
  ended.push(() => service.stop());
  return service;
}

/** Each of them `count` flows, the nodes by turns. */
function push(nodes: readonly HubbleService[], count: number): void {
  for (const [at, node] of nodes.entries()) {
    const batch = new FlowBatch(BASE);
    for (let number = 0; number < count; number++) {
      batch.add({ ...BASE, node: `n${at}`, endedAtMs: BASE.endedAtMs + 100 * (number * 3 + at) });
    }
    node.push(batch.take());
  }
}

const NONE = {
  ...{ nodes: [], nodesFile: null, peerServices: [], peerNames: [], cluster: 'default' },
  ...{ tls: null, isPlainEverywhere: false, retryMs: 1000, sortCountMax: 100, drainMs: 100 },
};

async function startRelay(folder: string, more: Partial<RelaySettings>): Promise<Client> {
  const path = join(folder, 'relay.sock');
  const relay = new RelayService({
    settings: { ...NONE, listen: { socket: { path, group: null }, tcp: null }, ...more },
    limits: DEFAULT_LIMITS,
    version: '1.2.3',
    clock,
    onProblem: () => {},
  });
  await relay.start();
  const client = new Client(`unix:${path}`, credentials.createInsecure());
  ended.push(
    () => relay.stop(),
    () => client.close(),
  );
  return client;
}

function nodesIn(folder: string, names: readonly string[]) {
  return names.map(
    (name) =>
      parseNode(`default/${name}=unix://${join(folder, `${name}.sock`)}`, 'default') as NonNullable<
        ReturnType<typeof parseNode>
      >,
  );
}

function ask<Answer>(client: Client, name: string, request: Message): Promise<Answer> {
  const method = methodOf(name);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      (error, answer) => (error === null ? resolve(answer as Answer) : reject(error)),
    );
  });
}

function methodOf(name: string) {
  const method = serviceDefinition(Observer)[name];
  if (method === undefined) throw new Error(name);
  return method;
}

class Reading {
  readonly responses: GetFlowsResponse[] = [];
  error: ServiceError | null = null;
  isOver = false;
  readonly call;

  constructor(client: Client, request: Message) {
    const { path, requestSerialize, responseDeserialize } = methodOf('GetFlows');
    this.call = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
    );
    this.call.on('data', (one: GetFlowsResponse) => this.responses.push(one));
    this.call.on('error', (error: ServiceError) => {
      this.error = error;
      this.isOver = true;
    });
    this.call.on('end', () => {
      this.isOver = true;
    });
    ended.push(() => this.call.cancel());
  }

  get times(): number[] {
    return this.responses
      .filter(({ responseTypes }) => responseTypes.case === 'flow')
      .map(({ time }) => Number(time?.seconds) * 1000 + Math.round(Number(time?.nanos) / 1e6));
  }

  states(state: NodeState): string[] {
    return this.responses.flatMap(({ responseTypes: { case: kind, value } }) =>
      kind === 'nodeStatus' && value.stateChange === state ? value.nodeNames : [],
    );
  }
}

async function startTlsNode(tls: HubbleTlsFiles): Promise<readonly string[]> {
  const service = new HubbleService({
    settings: {
      ...{ socket: null, tcp: { address: ANY_PORT, tls } },
      ...{ announced: '', cluster: 'default', node: 'n0' },
    },
    limits: DEFAULT_LIMITS,
    version: '1.2.3',
    sinks: [],
    clock,
    onError: (error) => expect.fail(String(error)),
    onProblem: (problem) => expect.fail(problem),
  });
  ended.push(() => service.stop());
  return service.start();
}

function startLink(peer: RelayPeer, tls: NodeTlsFiles | null): NodeLink {
  const trust = { tls, isPlainEverywhere: false, responseBytesMax: 1024 };
  const link = new NodeLink({ peer, trust, retryMs: 1000, onChange: () => {} });
  ended.push(() => link.close());
  return link;
}

async function connected(client: Client, count: number): Promise<void> {
  await until(async () => {
    const found = await ask<ServerStatusResponse>(
      client,
      'ServerStatus',
      create(ServerStatusRequestSchema, {}),
    );
    return found.numConnectedNodes === count;
  });
}

describe('a relay', () => {
  it.each([
    { asked: { number: 2n }, count: 6, sortCountMax: 100 },
    { asked: { number: 1n, first: true }, count: 3, sortCountMax: 100 },
    { asked: {}, count: 600, sortCountMax: 100 },
    { asked: {}, count: 600, sortCountMax: 1 },
  ])('gives what each node has, sorted: %o', async ({ asked, count, sortCountMax }) => {
    const folder = scratchFolder();
    const names = ['n0', 'n1', 'n2'];
    const nodes = await Promise.all(names.map((name) => startNode(folder, name)));
    push(nodes, 100);
    const client = await startRelay(folder, { nodes: nodesIn(folder, names), sortCountMax });
    await connected(client, 3);
    const reading = new Reading(client, create(GetFlowsRequestSchema, asked));
    await until(() => reading.isOver);
    expect(reading.error).toBeNull();
    expect(reading.states(NodeState.NODE_CONNECTED).sort()).toEqual(
      names.map((name) => `default/${name}`),
    );
    expect(reading.times).toEqual([...reading.times].sort((a, b) => a - b));
    expect(reading.times).toHaveLength(count);
  });

  it('tells which nodes are away, and goes on without them', async () => {
    const folder = scratchFolder();
    push([await startNode(folder, 'n0')], 1);
    const client = await startRelay(folder, { nodes: nodesIn(folder, ['n0', 'away']) });
    await connected(client, 1);
    const reading = new Reading(client, create(GetFlowsRequestSchema, {}));
    await until(() => reading.isOver);
    expect(reading.states(NodeState.NODE_UNAVAILABLE)).toEqual(['default/away']);
    expect(reading.times).toHaveLength(2);
    const { nodes } = await ask<GetNodesResponse>(
      client,
      'GetNodes',
      create(GetNodesRequestSchema, {}),
    );
    expect(nodes.map(({ name, state }) => [name, state])).toEqual([
      ['default/n0', NodeState.NODE_CONNECTED],
      ['default/away', NodeState.NODE_UNAVAILABLE],
    ]);
  });

  it('follows nodes that come, end and come back, of a file that changes', async () => {
    const folder = scratchFolder();
    const first = await startNode(folder, 'n0');
    const nodesFile = join(folder, 'nodes');
    const line = (name: string): string => `default/${name}=unix://${join(folder, name)}.sock\n`;
    writeFileSync(nodesFile, `# nodes\n${line('n0')}`);
    const client = await startRelay(folder, { nodesFile });
    await connected(client, 1);
    const reading = new Reading(client, create(GetFlowsRequestSchema, { follow: true }));
    const shows = async (node: HubbleService, name: string): Promise<void> => {
      const before = reading.responses.length;
      await until(() => {
        const batch = new FlowBatch(BASE);
        batch.add({ ...BASE, node: name, endedAtMs: clock.wallMs() });
        node.push(batch.take());
        return reading.responses.slice(before).some((one) => one.nodeName === `default/${name}`);
      });
    };
    await shows(first, 'n0');
    const second = await startNode(folder, 'n1');
    writeFileSync(nodesFile, line('n0') + line('n1'));
    await shows(second, 'n1');
    await second.stop();
    await until(() => reading.states(NodeState.NODE_ERROR).includes('default/n1'));
    await shows(first, 'n0');
    await shows(await startNode(folder, 'n1'), 'n1');
    writeFileSync(nodesFile, line('n1'));
    await until(() => reading.states(NodeState.NODE_GONE).includes('default/n0'));
    expect(reading.error).toBeNull();
  });

  it('finds nodes by the service Peer of one of them', async () => {
    const folder = scratchFolder();
    await startNode(folder, 'n0');
    const client = await startRelay(folder, { peerServices: [`unix://${folder}/n0.sock`] });
    await connected(client, 1);
  });

  it.each([
    { ca: 'hubble', isTaken: true },
    { ca: 'another', isTaken: false },
  ])('by certificates takes nodes of its authority only: of $ca', async ({ ca, isTaken }) => {
    const folder = scratchFolder();
    const authority = new TestAuthority('hubble');
    const name = 'n0.default.hubble-grpc.cilium.io';
    const file = (of: string, text: string): string => {
      writeFileSync(join(folder, of), text);
      return join(folder, of);
    };
    const pair = (of: string, names: string[]) => {
      const { cert, key } = authority.issue(of, names);
      return { cert: file(`${of}.crt`, cert), key: file(`${of}.key`, key) };
    };
    const clientCa = file('hubble.ca', authority.cert);
    file('another.ca', new TestAuthority('another').cert);
    const tls = { ...pair('node', [`DNS:${name}`]), clientCa };
    const [address = ''] = await startTlsNode(tls);
    const link = startLink(
      { name: 'default/n0', address, serverName: name },
      { ...pair('relay', []), authorities: [join(folder, `${ca}.ca`)] },
    );
    await until(() => link.client !== null || link.problem !== '');
    expect(link.client !== null).toBe(isTaken);
  });

  it('asks nobody beyond this machine by plain text', () => {
    const link = startLink({ name: 'far', address: '192.0.2.1:4244', serverName: '' }, null);
    expect(link.problem).toContain('without certificates');
  });

  it('refuses the first flows of those that come', async () => {
    const client = await startRelay(scratchFolder(), {});
    const asked = create(GetFlowsRequestSchema, { follow: true, first: true });
    const reading = new Reading(client, asked);
    await until(() => reading.isOver);
    expect(reading.error?.code).toBe(status.INVALID_ARGUMENT);
  });
});
