/**
 * The command line of Cilium's Hubble, unchanged, at our server. What it shows of a file, it shows of the server, for
 * each flag and each form; each kind of flow is told by the line that is expected; then by TLS, from a proxy at work, and
 * with Hubble's own relay between.
 *
 *     node test/conformance/hubble_cli.ts
 *
 * Builds `hubble` and `hubble-relay` of the module test/peers/hubble with Go ($GO, or `go`; $HUBBLE_CLI, $HUBBLE_RELAY:
 * built already). Nothing is skipped: without Go it fails. The last line is the sum: "N passed, N failed".
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { extensionsOf } from '../../src/hubble/flow/extensions.ts';
import { messageJson } from '../../src/hubble/flow/flow_json.ts';
import { hubbleFlows } from '../../src/hubble/flow/hubble_flows.ts';
import { GetFlowsResponseSchema } from '../../src/hubble/generated/observer/observer_pb.ts';
import { HubbleService } from '../../src/hubble/serve/hubble_service.ts';
import { parseSocketAddress, type SocketAddress } from '../../src/model/address.ts';
import type { HubbleServeSettings } from '../../src/model/hubble_settings.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { FlowBatch } from '../../src/observe/flow/wire/flow_batch.ts';
import { nodePlatform } from '../../src/platform/node_platform.ts';
import { flowCases, NAMING } from '../hubble/flow/flow_cases.ts';
import { freePorts } from '../support/free_ports.ts';
import { TestAuthority } from '../support/test_certificates.ts';
import { until } from '../support/until.ts';
import { get, portOf } from '../workers/running.ts';
import { compare, count, goPeer, HUBBLE_FOLDER, scratch } from './differential.ts';

const SIGTERM_MS = 60_000;
const NODE = 'node-1';
const ANY_PORT = parseSocketAddress('127.0.0.1:0') as SocketAddress;

/** Flags of `observe`, asked of the server and of a file. */
const QUESTIONS: readonly string[] = [
  ...['', '--first 3', '--last 3', '--last 2 --verdict DROPPED', '--first 2 --type l7'],
  ...[
    '--since 2026-01-01T00:00:00Z',
    '--until 2026-01-01T00:00:00Z',
    '--since 2026-01-02T03:04:05.24Z',
  ],
  ...['-o json', '-o jsonpb', '-o dict', '-o table', '-o compact', '--print-node-name'],
  ...['-o dict --print-node-name', '-o table --print-node-name', '--print-policy-names'],
  ...['--time-format RFC3339', '--time-format UnixDate', '--numeric', '--ip-translation=false'],
  ...['--color always'],
  ...[
    '--pod shop/web',
    '--from-pod shop/api',
    '--to-pod shop/web-1',
    '--pod web',
    '--not --pod shop/web',
  ],
  ...[
    '--namespace shop',
    '--from-namespace shop',
    '--to-namespace other',
    '-A',
    '--to-all-namespaces',
  ],
  ...['--label app=shop', '--from-label k8s:app=api', '--to-label !app', '--node-label a=b'],
  ...[
    '--ip 10.0.0.1',
    '--from-ip 10.0.0.0/31',
    '--to-ip fd00::1',
    '--snat-ip 10.0.0.1',
    '-4',
    '-6',
  ],
  ...['--fqdn *.example.com', '--from-fqdn api.example.com', '--to-fqdn nobody.example'],
  ...[
    '--service shop/api',
    '--from-service shop/api',
    '--to-service shop/',
    '--workload Deployment/web',
  ],
  ...[
    '--from-workload web',
    '--to-workload web',
    '--cluster default',
    '--from-cluster default',
    '--to-cluster x',
  ],
  ...[
    '--identity 1001',
    '--from-identity 1002',
    '--to-identity 1002',
    '--port 80',
    '--from-port 80',
  ],
  ...['--to-port 40000', '--protocol http', '--protocol dns', '--protocol udp', '--protocol icmp'],
  ...[
    '--http-status 4+',
    '--http-method get',
    '--http-path ^/v1',
    '--http-url example',
    '--http-header X-Request-Id:77',
  ],
  ...[
    '--type l7',
    '--type drop',
    '--type policy-verdict',
    '--type drop:133',
    '--type trace',
    '--type agent',
  ],
  ...['--verdict FORWARDED', '--verdict ERROR', '--verdict AUDIT', '--verdict REDIRECTED'],
  ...[
    '--drop-reason-desc POLICY_DENY',
    '--drop-reason-desc DROP_REASON_UNKNOWN',
    '--tcp-flags SYN',
  ],
  ...[
    '--traffic-direction ingress',
    '--traffic-direction egress',
    '--node-name default/node-*',
    '--node-name x',
  ],
  ...['--trace-id 4bf92f3577b34da6a3ce929d0e0e4736', '--uuid 7b1d5e1c-0c5e-4a39-9b9e-00000000000a'],
  ...['--interface eth0', '--encrypted', '--unencrypted', '--ip-trace-id 1', '--ip-version v4'],
  ...[
    '--verdict DROPPED --type l7 --not --pod x/',
    '--allowlist {"verdict":["DROPPED"]}',
    '--denylist {"reply":[true]}',
  ],
];

/** One line a flow: what is known of each is in flow_cases.ts. */
const WEB = 'shop/web-1:40000 (ID:1001)';
const API = 'shop/api-1:80 (ID:1002)';
const URL = 'http://api.example.com/v1/items';
const AT = 'Jan  2 03:04:05';
const ALLOWED = [
  `${AT}.238: ${WEB} -> ${API} http-request FORWARDED (HTTP/1.1 GET ${URL})`,
  `${AT}.250: ${WEB} <- ${API} http-response FORWARDED (HTTP/1.1 200 12ms (GET ${URL}))`,
];
const EXPECTED_LINES: readonly string[] = [
  `${AT}.238: ${WEB} -> ${API} http-request FORWARDED (HTTP/1.1 GET ${URL})`,
  `${AT}.250: ${WEB} <- ${API} http-response FORWARDED (HTTP/1.1 200 12ms (GET ${URL}))`,
  `${AT}.250: ${WEB} -> ${API} http-request DROPPED (HTTP/1.1 GET ${URL})`,
  `${AT}.250: ${WEB} <- ${API} http-response FORWARDED (HTTP/1.1 403 0ms (GET ${URL}))`,
  `${AT}.238: ${WEB} -> ${API} http-request AUDIT (HTTP/1.1 GET ${URL})`,
  `${AT}.238: ${WEB} -> ${API} http-request FORWARDED (HTTP/1.1 GET ${URL})`,
  `${AT}.250: ${WEB} <- ${API} http-response FORWARDED (HTTP/1.1 200 12ms (GET ${URL}))`,
  `${AT}.238: ${WEB} -> ${API} http-request ERROR (HTTP/1.1 GET ${URL})`,
  `${AT}.250: ${WEB} <> ${API} policy-verdict:L3-Only INGRESS DENIED (TCP Flags: SYN)`,
  `${AT}.250: ${WEB} <> ${API} Policy denied by denylist DROPPED (TCP Flags: SYN)`,
  // By policies of five kinds.
  ...[...ALLOWED, ...ALLOWED, ...ALLOWED, ...ALLOWED, ...ALLOWED],
  `${AT}.238: ${WEB} -> ${API} l7-request FORWARDED (TLS a.example)`,
  `${AT}.238: ${WEB} -> ${API} dns-request proxy FORWARDED (DNS Query api.example.com. A)`,
  `${AT}.250: ${WEB} <- ${API} dns-response proxy FORWARDED (DNS Answer "1.2.3.4" TTL: 30 (Proxy api.example.com. A))`,
  `${AT}.238: ${WEB} -> ${API} dns-request proxy FORWARDED (DNS Query no.example. AAAA)`,
  `${AT}.250: ${WEB} <- ${API} dns-response proxy FORWARDED (DNS Answer RCode: Non-Existent Domain TTL: 4294967295 (Proxy no.example. AAAA))`,
  `${AT}.250: ${WEB} <> ${API} policy-verdict:none EGRESS DENIED (UDP)`,
  `${AT}.250: ${WEB} <> ${API} Policy denied DROPPED (UDP)`,
  `${AT}.250: ${WEB.replace(':40000', '')} <> ${API.replace(':80', '')} VLAN traffic disallowed by VLAN filter DROPPED (ICMPv4)`,
  `${AT}.250: ${WEB} -> ${API} policy-verdict:none EGRESS ALLOWED (TCP Flags: SYN)`,
];

/** Says itself how many, or of what time. */
const HAS_PLACE = /--(first|last|since|until)/;

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

await compare(async () => {
  const hubble = goPeer(HUBBLE_FOLDER, 'github.com/cilium/cilium/hubble', 'HUBBLE_CLI');
  const ask = (server: string, args: readonly string[]): Promise<Run> =>
    run(hubble, [...args, '--server', server]);
  await eachFlag(hubble, ask);
  await withCertificates(ask);
  await ofProxy(hubble, ask);
  await throughRelay(ask);
});

type Ask = (server: string, args: readonly string[]) => Promise<Run>;

async function eachFlag(hubble: string, ask: Ask): Promise<void> {
  const path = join(scratch.dir, 'flags.sock');
  const served = await serve({ socket: { path, group: null }, tcp: null });
  const server = `unix://${path}`;
  const file = scratch.write('flows.jsonl', exported());
  for (const question of QUESTIONS) {
    const flags = ['observe', ...(question === '' ? [] : question.split(' '))];
    // Of a file it takes no fields away, and shows all where it asks a server for the last 20.
    const all = HAS_PLACE.test(question) ? [] : ['--last', '100'];
    const own = await ask(server, [...flags, ...all, '--use-default-field-masks=false']);
    const theirs = await run(hubble, [...flags, '--input-file', file]);
    expect(`observe ${question}`, own, theirs);
  }
  const all = ['observe', '--use-default-field-masks=false', '--last', '100'];
  expectLines('a flow of each kind', await ask(server, all), EXPECTED_LINES);
  const masked = await ask(server, [
    ...['observe', '-o', 'json', '--first', '1', '--field-mask', 'source.pod_name,verdict'],
  ]);
  expectText(
    'a field mask',
    masked,
    '{"flow":{"verdict":"FORWARDED","source":{"pod_name":"web-1"}},"node_name"',
  );
  const status = await ask(server, ['status']);
  expectText('status', status, 'Healthcheck', 'Ok', `${flowCases.length}/4,095`);
  expectText('list nodes', await ask(server, ['list', 'nodes']), `default/${NODE}`, 'Connected');
  expectText('list namespaces', await ask(server, ['list', 'namespaces']), 'shop');
  expectText('agent events', await ask(server, ['observe', 'agent-events', '--last', '1']));
  expectText('debug events', await ask(server, ['observe', 'debug-events', '--last', '1']));
  const broken = await ask(server, ['observe', '--http-url', '(']);
  count(broken.code !== 0 && broken.stderr.includes('missing )'), () => [broken]);
  const peers = await follow(hubble, [...['watch', 'peers'], '--server', server], 'PEER_ADDED');
  count(peers.includes(`default/${NODE}`), () => ['watch peers', peers]);
  await served.stop();
}

/** Whoever has no certificate is not let in. */
async function withCertificates(ask: Ask): Promise<void> {
  const authority = new TestAuthority('hubble');
  const name = `${NODE}.default.hubble-grpc.cilium.io`;
  const own = authority.issue(name, [`DNS:${name}`]);
  const client = authority.issue('a client');
  const stranger = new TestAuthority('other').issue('a stranger');
  const path = (file: string, text: string): string => scratch.write(file, text);
  const ca = path('ca.crt', authority.cert);
  const tls = { cert: path('node.crt', own.cert), key: path('node.key', own.key), clientCa: ca };
  const served = await serve({ socket: null, tcp: { address: ANY_PORT, tls } });
  const server = `tls://${served.addresses[0]}`;
  const flags = (of: string): string[] => [
    ...['--tls-ca-cert-files', ca, '--tls-server-name', name],
    ...['--tls-client-cert-file', join(scratch.dir, `${of}.crt`)],
    ...['--tls-client-key-file', join(scratch.dir, `${of}.key`)],
  ];
  path('client.crt', client.cert);
  path('client.key', client.key);
  path('stranger.crt', stranger.cert);
  path('stranger.key', stranger.key);
  expectText('by certificate', await ask(server, ['status', ...flags('client')]), 'Ok');
  for (const [who, more] of [
    ['a stranger', flags('stranger')],
    ['nobody', flags('nobody').slice(0, 4)],
  ] as const) {
    const refused = await ask(server, ['observe', '--timeout', '3s', ...more]);
    count(refused.code !== 0 && refused.stdout === '', () => [who, refused]);
  }
  await served.stop();
}

/** Requests through a proxy that runs, as they come. */
async function ofProxy(hubble: string, ask: Ask): Promise<void> {
  const path = join(scratch.dir, 'proxy.sock');
  const upstream = await scratch.origin();
  const more = `workers: 1\nhubble: { socket: ${path} }`;
  const proxy = scratch.run(['run', '-c', scratch.config({ upstream, more })]);
  const port = portOf(await proxy.message('ready'));
  const server = `unix://${path}`;
  await until(async () => (await ask(server, ['status'])).code === 0);
  const followed = follow(
    hubble,
    ['observe', '--follow', '--verdict', 'DROPPED', '--server', server],
    'DROPPED',
    () => void get(port, '/no').catch(() => {}),
  );
  count(/default\/client|10\.0\.0\.7|default\/api/.test(await followed), () => [
    'follow',
    followed,
  ]);
  await get(port, '/ok');
  let shown: Run = { code: null, stdout: '', stderr: '' };
  await until(async () => {
    shown = await ask(server, ['observe', '--http-path', '/ok', '--to-pod', 'default/api']);
    return shown.stdout.includes('http-request FORWARDED');
  });
  expectText('a request', shown, 'default/api', 'http-request FORWARDED', '/ok');
  const why = await ask(server, ['observe', '-o', 'json', '--http-path', '/ok', '--last', '2']);
  expectText('which rule', why, '"sallyport:rule=ingress[0].toPorts[0].rules.http[0]"');
}

/** It finds the node by its socket, and reads flows by TCP at the address that the node announces. */
async function throughRelay(ask: Ask): Promise<void> {
  const relay = goPeer(HUBBLE_FOLDER, 'github.com/cilium/cilium/hubble-relay', 'HUBBLE_RELAY');
  const path = join(scratch.dir, 'relayed.sock');
  const [node, listen, health] = await freePorts(3);
  const tcp = { address: parseSocketAddress(`127.0.0.1:${node}`) as SocketAddress, tls: null };
  const announced = `127.0.0.1:${node}`;
  const served = await serve({ socket: { path, group: null }, tcp }, announced);
  const child = spawn(
    relay,
    [
      ...[
        'serve',
        '--peer-service',
        `unix://${path}`,
        '--disable-client-tls',
        '--disable-server-tls',
      ],
      ...['--listen-address', `127.0.0.1:${listen}`],
      ...['--health-listen-address', `127.0.0.1:${health}`],
    ],
    { env: environment(), stdio: 'ignore' },
  );
  const server = `127.0.0.1:${listen}`;
  let status: Run = { code: null, stdout: '', stderr: '' };
  await until(async () => {
    status = await ask(server, ['status']);
    return status.stdout.includes('Connected Nodes: 1/1');
  });
  expectText('status of the relay', status, `${flowCases.length}/4,095`);
  expectText('nodes of the relay', await ask(server, ['list', 'nodes']), `default/${NODE}`);
  expectText('namespaces of the relay', await ask(server, ['list', 'namespaces']), 'shop');
  const all = ['observe', '--use-default-field-masks=false', '--last', '100'];
  const { stdout } = await ask(server, all);
  // It sorts by time, within what it holds.
  const shown = stdout.split('\n').filter((line) => line !== '');
  count(`${shown.sort()}` === `${[...EXPECTED_LINES].sort()}`, () => ['through the relay', shown]);
  child.kill('SIGKILL');
  await served.stop();
}

interface Served {
  readonly addresses: readonly string[];
  stop(): Promise<void>;
}

async function serve(
  where: Pick<HubbleServeSettings, 'socket' | 'tcp'>,
  announced = '127.0.0.1:4244',
): Promise<Served> {
  const service = new HubbleService({
    settings: { ...where, announced, cluster: 'default', node: NODE },
    limits: DEFAULT_LIMITS,
    version: NAMING.version,
    sinks: [],
    clock: nodePlatform().clock,
    onError: (error) => count(false, () => ['internal error', String(error)]),
    onProblem: (problem) => count(false, () => [problem]),
  });
  const addresses = await service.start();
  for (const { flow } of flowCases) {
    const batch = new FlowBatch(flow);
    batch.add(flow);
    service.push(batch.take());
  }
  return { addresses, stop: () => service.stop() };
}

function exported(): string {
  const responses = flowCases.flatMap(({ flow: of }) =>
    hubbleFlows(of, NAMING).map((flow) =>
      create(GetFlowsResponseSchema, {
        nodeName: flow.nodeName,
        ...(flow.time === undefined ? {} : { time: flow.time }),
        responseTypes: { case: 'flow', value: { ...flow, extensions: extensionsOf(of) } },
      }),
    ),
  );
  return responses
    .map((one) => `${JSON.stringify(messageJson(GetFlowsResponseSchema, one))}\n`)
    .join('');
}

function expect(what: string, own: Run, theirs: Run): void {
  const isSame = own.stdout === theirs.stdout && own.code === theirs.code;
  count(isSame, () => [`--- ${what}`, { own }, { ofFile: theirs }]);
}

function expectLines(what: string, { stdout, stderr }: Run, lines: readonly string[]): void {
  const shown = stdout.split('\n').filter((line) => line !== '');
  for (const [index, line] of lines.entries()) {
    count(shown[index] === line, () => [
      `--- ${what}`,
      { wanted: line, shown: shown[index], stderr },
    ]);
  }
  count(shown.length === lines.length, () => [what, shown.length, lines.length]);
}

function expectText(what: string, one: Run, ...texts: readonly string[]): void {
  const isShown = one.code === 0 && texts.every((text) => one.stdout.includes(text));
  count(isShown, () => [`--- ${what}`, texts, one]);
}

function run(program: string, args: readonly string[]): Promise<Run> {
  const child = spawn(program, args, { env: environment(), timeout: SIGTERM_MS });
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

/** Its output when it has the word; `provoke` is tried until then. */
async function follow(
  program: string,
  args: readonly string[],
  word: string,
  provoke: () => void = () => {},
): Promise<string> {
  const child = spawn(program, args, { env: environment(), timeout: 2 * SIGTERM_MS });
  let stdout = '';
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.resume();
  await until(() => {
    provoke();
    return stdout.includes(word) || child.exitCode !== null;
  });
  child.kill('SIGKILL');
  return stdout;
}

/** Its times are those of the zone; nothing of the user's configuration. */
function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], TZ: 'UTC', HOME: scratch.dir };
}
