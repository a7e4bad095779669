/**
 * Our relay beside Hubble's own, over the same nodes: the command line of Hubble, unchanged, shows the same of both, for
 * each flag and command; then a node that dies and comes back while somebody follows.
 *
 *     node test/conformance/hubble_relay.ts
 *
 * Needs what hubble_cli.ts needs. The last line is the sum: "N passed, N failed".
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { create, type Message } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import {
  ChangeNotificationSchema,
  ChangeNotificationType,
  Peer,
} from '../../src/hubble/generated/peer/peer_pb.ts';
import { RelayService } from '../../src/hubble/relay/relay_service.ts';
import { HubbleService } from '../../src/hubble/serve/hubble_service.ts';
import { serviceDefinition } from '../../src/hubble/serve/method.ts';
import { parseSocketAddress, type SocketAddress } from '../../src/model/address.ts';
import type { Flow } from '../../src/model/flow.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { FlowBatch } from '../../src/observe/flow/wire/flow_batch.ts';
import { nodePlatform } from '../../src/platform/node_platform.ts';
import { flowCases, NAMING } from '../hubble/flow/flow_cases.ts';
import { freePorts } from '../support/free_ports.ts';
import { until } from '../support/until.ts';
import { compare, count, goPeer, HUBBLE_FOLDER, scratch } from './differential.ts';

const CALL_MS = 60_000;
const { clock } = nodePlatform();
const ANY_PORT = '127.0.0.1:0';
const NODES = ['node-1', 'node-2', 'node-3'];

/** Of both relays the same is shown, in the same order. */
const QUESTIONS: readonly string[] = [
  ...['observe --last 100', 'observe --last 2', 'observe --first 2', 'observe'],
  ...['observe --last 100 -o json', 'observe --last 100 -o dict --print-node-name'],
  ...['observe --last 100 --verdict DROPPED', 'observe --first 1 --type l7 --print-node-name'],
  ...['observe --last 100 --node-name default/node-2 --print-node-name', 'observe --pod shop/web'],
  ...['observe --since 2026-01-02T03:04:05.24Z', 'observe --until 2026-01-01T00:00:00Z'],
  ...['observe --last 3 --field-mask verdict,node_name -o json', 'observe --debug --last 1'],
  ...['list nodes', 'list namespaces', 'list namespaces -o json'],
  ...['observe --http-url (', 'observe agent-events --last 1', 'observe debug-events --last 1'],
];

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Node {
  readonly name: string;
  address: string;
  service: HubbleService;
}

await compare(async () => {
  const hubble = goPeer(HUBBLE_FOLDER, 'github.com/cilium/cilium/hubble', 'HUBBLE_CLI');
  const nodes = await Promise.all(NODES.map((name, index) => startNode(name, index)));
  const peerService = await announce(nodes);
  const theirs = await startTheirs(peerService);
  const own = new RelayService({
    settings: { ...settingsOf(peerService), ...{ nodes: [], nodesFile: null, peerNames: [] } },
    limits: DEFAULT_LIMITS,
    version: 'sallyport 1.2.3',
    clock,
    onProblem: (problem) => count(false, () => [problem]),
  });
  const [ownAddress = ''] = await own.start();
  const ask = (server: string, question: string): Promise<Run> =>
    run(hubble, [...question.split(' '), '--server', server]);
  for (const server of [ownAddress, theirs.address]) {
    await until(async () => (await ask(server, 'status')).stdout.includes('Connected Nodes: 3/3'));
  }
  await sameOfBoth(ask, ownAddress, theirs.address);
  await throughAnEnd(hubble, ask, ownAddress, nodes);
  own.stop();
  theirs.child.kill('SIGKILL');
  peerService.server.forceShutdown();
  await Promise.all(nodes.map(({ service }) => service.stop()));
});

type Ask = (server: string, question: string) => Promise<Run>;

async function sameOfBoth(ask: Ask, own: string, theirs: string): Promise<void> {
  for (const question of QUESTIONS) {
    const [ours, other] = [await ask(own, question), await ask(theirs, question)];
    const isSame = ours.code === other.code && comparable(ours.stdout) === comparable(other.stdout);
    count(isSame, () => [`--- ${question}`, { ours }, { theirs: other }]);
  }
  const [ours, other] = [await ask(own, 'status'), await ask(theirs, 'status')];
  const told = /: Ok|[0-9,]+\/[0-9,]+ \(|Connected Nodes: 3\/3/g;
  count(`${ours.stdout.match(told)}` === `${other.stdout.match(told)}`, () => [ours, other]);
}

/** Times of the relays, ages of the nodes, and of equal times the order of the nodes. */
function comparable(text: string): string {
  const lines = text.replaceAll(/ +[0-9]+(\.[0-9]+)?(ms|s|m[0-9]+s) +/g, ' AGE ').split('\n');
  return lines.sort().join('\n');
}

/** Whoever follows is told that a node went, goes on with the others, and sees it again when it is back. */
async function throughAnEnd(
  hubble: string,
  ask: Ask,
  server: string,
  nodes: readonly Node[],
): Promise<void> {
  const followed = spawn(
    hubble,
    ['observe', '--follow', '--debug', '--print-node-name', '--server', server],
    { env: environment(), timeout: 2 * CALL_MS },
  );
  let shown = '';
  let told = '';
  followed.stdout.on('data', (text) => {
    shown += text;
  });
  followed.stderr.on('data', (text) => {
    told += text;
  });
  const [first, second] = nodes as [Node, Node];
  const shows = async (node: Node): Promise<void> => {
    shown = '';
    await until(() => {
      node.service.push(batchOf(flowOf(node.name)));
      return shown.includes(`default/${node.name}`);
    });
    count(true, () => []);
  };
  await shows(first);
  await second.service.stop();
  await until(() => told.includes('Error'));
  await shows(first);
  await until(async () => (await ask(server, 'status')).stdout.includes('Unavailable Nodes: 1'));
  await until(async () => {
    const { stdout } = await ask(server, 'list nodes');
    return /node-2 +Unavailable/.test(stdout);
  });
  second.service = await serve(second.name, second.address);
  await shows(second);
  await until(async () => (await ask(server, 'status')).stdout.includes('Connected Nodes: 3/3'));
  count(true, () => []);
  followed.kill('SIGKILL');
}

function settingsOf({ address }: Announced) {
  return {
    listen: { socket: null, tcp: { address: socketAddress(ANY_PORT), tls: null } },
    peerServices: [address],
    cluster: 'default',
    tls: null,
    isPlainEverywhere: false,
    retryMs: 1000,
    sortCountMax: 100,
    drainMs: 1000,
  };
}

/** Each has each kind of flow, a millisecond apart. */
async function startNode(name: string, index: number): Promise<Node> {
  const { service, address } = await servedAt(name, ANY_PORT);
  for (const { flow } of flowCases) {
    service.push(batchOf({ ...flow, node: name, endedAtMs: flow.endedAtMs + index }));
  }
  return { name, address, service };
}

function flowOf(name: string): Flow {
  return { ...(flowCases[0] as (typeof flowCases)[0]).flow, node: name, endedAtMs: clock.wallMs() };
}

function batchOf(flow: Flow): Uint8Array {
  const batch = new FlowBatch(flow);
  batch.add(flow);
  return batch.take();
}

async function serve(node: string, address: string): Promise<HubbleService> {
  return (await servedAt(node, address)).service;
}

async function servedAt(node: string, at: string) {
  const service = new HubbleService({
    settings: {
      ...{ socket: null, tcp: { address: socketAddress(at), tls: null } },
      ...{ announced: '', cluster: 'default', node },
    },
    limits: DEFAULT_LIMITS,
    version: NAMING.version,
    sinks: [],
    clock,
    onError: (error) => count(false, () => ['internal error', String(error)]),
    onProblem: (problem) => count(false, () => [problem]),
  });
  const [address = ''] = await service.start();
  return { service, address };
}

function socketAddress(text: string): SocketAddress {
  return parseSocketAddress(text) as SocketAddress;
}

interface Announced {
  readonly server: Server;
  readonly address: string;
}

/** A service Peer that tells of all of them, as an agent's does. */
async function announce(nodes: readonly Node[]): Promise<Announced> {
  const server = new Server();
  server.addService(serviceDefinition(Peer), {
    Notify: (call: ServerWritableStream<Message, Message>) => {
      for (const { name, address } of nodes) {
        const type = ChangeNotificationType.PEER_ADDED;
        call.write(create(ChangeNotificationSchema, { name: `default/${name}`, address, type }));
      }
    },
  });
  const path = join(scratch.dir, 'peers.sock');
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return { server, address: `unix://${path}` };
}

async function startTheirs({ address }: Announced) {
  const relay = goPeer(HUBBLE_FOLDER, 'github.com/cilium/cilium/hubble-relay', 'HUBBLE_RELAY');
  const [listen, health] = await freePorts(2);
  const flags = ['--disable-client-tls', '--disable-server-tls', '--gops=false'];
  const child: ChildProcess = spawn(
    relay,
    [
      ...['serve', '--peer-service', address, ...flags],
      ...['--listen-address', `127.0.0.1:${listen}`],
      ...['--health-listen-address', `127.0.0.1:${health}`],
    ],
    { env: environment(), stdio: 'ignore' },
  );
  return { child, address: `127.0.0.1:${listen}` };
}

function run(program: string, args: readonly string[]): Promise<Run> {
  const child = spawn(program, args, { env: environment(), timeout: CALL_MS });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  return new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

/** Its times are those of the zone; nothing of the user's configuration. */
function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], TZ: 'UTC', HOME: scratch.dir };
}
