/**
 * Generated policies, asked of Cilium's own agent and of us: who may reach which port (the agent's policy map), which
 * names may be asked for (its DNS proxy), and which requests pass (its NPDS resources, judged here, beside the same
 * policies resolved here).
 *
 *     node test/conformance/agent_verdicts.ts [SETS] [SEED...]
 *
 * Builds `test/peers/agent` with Go ($GO, or `go`; $AGENT: one that is built already). Nothing is skipped: without Go
 * it fails. The last line is the sum: "N passed, N failed".
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AGENT_FOLDER, compare, count, goPeer, scratch, seeds } from './differential.ts';
import { type GeneratedSet, generateSet, PolicySeed } from './generated_policies.ts';
import { JsonLines } from './json_lines.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What stands for its DNS proxy's port in its map. */
const DNS_PROXY_PORT = 5353;

const REMOTES = [
  { name: 'shop/orders', identity: 10002, ip: '127.0.2.1' },
  { name: 'kube-system/dns', identity: 10053, ip: '127.0.5.3' },
  { name: 'world', identity: 2, ip: '192.0.2.7' },
] as const;
const PORTS = [53, 54, 80, 8080, 9000];
const PROTOCOLS = ['UDP', 'TCP'] as const;
const NAMES = [
  'good.test',
  'evil.com',
  'a.good.test',
  '0/25.2.0.192.in-addr.arpa',
  'GOOD.test.',
  'x',
];
const PATHS = ['/', '/public', '/public/x', '/admin', '/v1/7'];

const ENDPOINTS = `endpoints:
- { name: shop/web, ip: 127.0.1.1, labels: { app: web }, identity: 10001 }
- { name: shop/orders, ip: 127.0.2.1, labels: { app: orders }, identity: 10002, namedPorts: { http: 8080 } }
- { name: kube-system/dns, ip: 127.0.5.3, labels: { k8s-app: kube-dns }, identity: 10053 }
`;

await compare(main);

async function main(): Promise<void> {
  scratch.write('endpoints.yaml', ENDPOINTS);
  scratch.write('none.yaml', generateSet(new PolicySeed(1)).text);
  const agent = new JsonLines(
    spawn(goPeer(AGENT_FOLDER, '.', 'AGENT'), [
      ...['--run-dir', join(scratch.dir, 'run'), '--scene', join(AGENT_FOLDER, 'scene.yaml')],
      // Nobody acknowledges the resources, so nothing is waited for.
      ...['--patience', '1ms'],
    ]),
  );
  await agent.until(({ event }) => event === 'wait');
  const [own, wire] = [verdicts(), verdicts()];
  for (const { count: setCount, random } of seeds(200, 'sets of policies')) {
    for (let i = 0; i < setCount; i++) {
      await compareSet(generateSet(random), { agent, own, wire, number: i });
    }
  }
  for (const peer of [agent, own, wire]) peer.end();
}

function verdicts(): JsonLines {
  const files = [
    '-p',
    join(scratch.dir, 'none.yaml'),
    '--endpoints',
    join(scratch.dir, 'endpoints.yaml'),
  ];
  return new JsonLines(spawn(join(ROOT, 'bin/sallyport'), ['verdict', ...files]));
}

interface Peers {
  readonly agent: JsonLines;
  readonly own: JsonLines;
  readonly wire: JsonLines;
  readonly number: number;
}

async function compareSet(set: GeneratedSet, peers: Peers): Promise<void> {
  const { agent, own, wire, number } = peers;
  const path = scratch.write(`set-${number}.yaml`, set.text);
  agent.send(`apply ${path}`);
  const refused: string[] = [];
  await agent.until((line) => {
    if (line['event'] === 'refused' || line['event'] === 'error')
      refused.push(String(line['error']));
    return line['event'] === 'wait' || line['event'] === 'error';
  });
  const update = await own.ask(JSON.stringify({ policyFile: path }));
  const isAccepted = update['update'] === 'accepted';
  if (refused.length > 0 || !isAccepted) {
    // What one of them refuses the other refuses, too.
    count(refused.length > 0 && !isAccepted, () => [
      `agent ${refused[0] ?? 'accepts'}`,
      update,
      set.text,
    ]);
  } else {
    await compareConnections(set, peers);
    agent.send('dump');
    const { policies } = await agent.until(({ event }) => event === 'npds');
    const resources = Object.values(policies as Record<string, unknown>);
    const wirePath = scratch.write(`set-${number}.json`, JSON.stringify({ resources }));
    const taken = await wire.ask(JSON.stringify({ policyFile: wirePath }));
    count(taken['update'] === 'accepted', () => [
      'our engine does not take the dump',
      taken,
      set.text,
    ]);
    await compareRequests(set, peers);
  }
  for (const name of set.names) {
    agent.send(`delete ${name}`);
    await agent.until(({ event }) => event === 'wait');
  }
}

/** L3 and L4, and names where the agent's map leads to its DNS proxy. */
async function compareConnections(set: GeneratedSet, { agent, own }: Peers): Promise<void> {
  for (const remote of REMOTES) {
    for (const port of PORTS) {
      for (const protocol of PROTOCOLS) {
        const connection = {
          endpoint: 'shop/web',
          direction: 'egress',
          identity: remote.identity,
          port,
          protocol,
        };
        const place = `41 egress ${remote.identity} ${protocol.toLowerCase()} ${port}`;
        agent.send(`l4 ${place}`);
        const entry = await agent.until(({ event }) => event === 'l4');
        const ours = await own.ask(JSON.stringify(connection));
        const isSame = (ours['verdict'] === 'allow') === entry['allowed'];
        count(isSame, () => [`connection ${place}`, entry, ours, set.text]);
        if (entry['allowed'] !== true) continue;
        const isAsked = entry['proxyPort'] === DNS_PROXY_PORT;
        for (const name of NAMES) {
          const answer = await own.ask(JSON.stringify({ ...connection, dns: { name } }));
          let isAllowed: unknown = true;
          if (isAsked) {
            const { identity, ip } = remote;
            // Questions come to the agent with the dot at their end.
            const question = name.endsWith('.') ? name : `${name}.`;
            agent.send(`dns 41 ${identity} ${ip} ${protocol.toLowerCase()} ${port} ${question}`);
            isAllowed = (await agent.until(({ event }) => event === 'dns'))['allowed'];
          } else if (answer['reason'] === 'no-dns-rule-matched') {
            // The port has HTTP rules for the remote: they say nothing of names.
            continue;
          }
          const agrees = (answer['verdict'] === 'allow') === isAllowed;
          count(agrees, () => [`name ${name} at ${place}: agent ${isAllowed}`, answer, set.text]);
        }
      }
    }
  }
}

/** The same engine on the agent's resources and on the policies themselves. */
async function compareRequests(set: GeneratedSet, { own, wire }: Peers): Promise<void> {
  const sides = [
    { endpoint: 'shop/web', endpointIp: '127.0.1.1', direction: 'egress', remotes: [10002, 2] },
    { endpoint: 'shop/orders', endpointIp: '127.0.2.1', direction: 'ingress', remotes: [10001, 2] },
  ];
  for (const { endpoint, endpointIp, direction, remotes } of sides) {
    for (const identity of remotes) {
      for (const port of [80, 8080, 9000]) {
        for (const path of PATHS) {
          const http = { method: 'GET', path, authority: 'a.test', headers: [] };
          const rest = { direction, identity, port, protocol: 'TCP', http };
          const ours = await own.ask(JSON.stringify({ endpoint, ...rest }));
          const theirs = await wire.ask(JSON.stringify({ endpointIp, ...rest }));
          count(ours['verdict'] === theirs['verdict'], () => [
            `${direction} ${identity} ${port} ${path}`,
            { ours, theirs },
            set.text,
          ]);
        }
      }
    }
  }
}
