/**
 * What translation at the socket costs (root: it makes namespaces and a cgroup of its own):
 *
 *     node bench/services.ts [--services 5000] [--backends 10] [--connects 100000] [--rounds 5] [--no-iptables]
 *
 * - connect() of a UDP socket, which sends nothing: outside of the cgroup; in it to an address that is no Service's, and to a
 *   Service; by turns, medians of medians (the goal: at most 1.5 µs more). A client in C dials;
 * - a whole TCP connection to the first and to the last of so many Services, beside kube-proxy's way: a chain of rules of
 *   iptables, one for each Service, that the first packet of each connection walks through;
 * - time to load all of them (the goal: under 1 s), to load them once more in another loader, to change one; memory of the maps.
 *
 * The machine is shared: compare within one run only.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { textTable } from '../src/cli/text_table.ts';
import type { Port } from '../src/model/identity.ts';
import type { ServiceFrontend } from '../src/model/service_frontend.ts';
import type { KernelMap } from '../src/redirect/kernel/kernel_map.ts';
import { SERVICE_MAPS } from '../src/redirect/services/layout.ts';
import { CLIENTS, ServiceClient } from '../test/redirect/root/service_client.ts';
import { ServiceScene } from '../test/redirect/root/service_scene.ts';
import { backendIp, frontend, ip } from '../test/support/service_frontends.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '5000' },
    backends: { type: 'string', default: '10' },
    connects: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '5' },
    'no-iptables': { type: 'boolean', default: false },
  },
});
const SERVICES = Number(values.services);
const BACKENDS = Number(values.backends);
const CONNECTS = Number(values.connects);
const ROUNDS = Number(values.rounds);
const PORT = 80;
/** One process after the other: this many TCP connections for one number. */
const TCP_CONNECTS = 300;
const NOBODY = '10.9.0.1';

const scene = new ServiceScene();
const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-services-'));
try {
  await main();
} finally {
  await scene.dispose();
  rmSync(folder, { recursive: true });
}

async function main(): Promise<void> {
  await loaded();
  console.log(`\n${memoryText()}\n`);
  const command = CLIENTS.glibc(folder);
  const client = scene.client(scene.pod, command);
  const outside = new ServiceClient(scene.pod.command(command));
  const first = addressOf(0);
  const last = addressOf(SERVICES - 1);
  const without: number[] = [];
  const other: number[] = [];
  const dialled: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    without.push(await connectNs(outside, NOBODY));
    other.push(await connectNs(client, NOBODY));
    dialled.push(await connectNs(client, round % 2 === 0 ? first : last));
  }
  const base = median(without);
  const more = (of: readonly number[]): string => ((median(of) - base) / 1000).toFixed(2);
  console.log(
    textTable(
      [`CONNECT(), ${SERVICES} SERVICES`, 'NS', 'µS MORE'],
      [
        ['outside of the cgroup', String(base), ''],
        ['to an address that is no Service', String(median(other)), more(other)],
        ['to a Service', String(median(dialled)), more(dialled)],
      ],
    ),
  );
  await beside({ client, outside }, { first, last });
  await outside.end();
}

/** All of them with real backends that answer, so that they can be dialled. */
async function loaded(): Promise<void> {
  await scene.start();
  // To see no TCP handshake, UDP is dialled: the first and the last have both.
  const udp = [0, SERVICES - 1].map((one) => ({ ...made(one), protocol: 'UDP' as const }));
  const frontends = [...Array.from({ length: SERVICES }, (_, one) => made(one)), ...udp];
  const load = timed(() => scene.put(frontends));
  scene.restart();
  const again = timed(() => scene.put(frontends.map((one) => ({ ...one }))));
  const [, ...others] = frontends;
  const changed = [{ ...made(0), backends: made(1).backends }, ...others];
  scene.put(changed);
  const change = timed(() => scene.put([made(0), ...others]));
  console.log(
    textTable(
      [`${SERVICES} SERVICES, ${SERVICES * BACKENDS} BACKENDS`, 'MS', 'MS OF CPU'],
      [
        ['load', ...load],
        ['the same in another loader (nothing is written)', ...again],
        ['one changes', ...change],
      ],
    ),
  );
}

/** The first of its backends answers; the others are addresses of the documentation's network that nobody has. */
function made(service: number): ServiceFrontend {
  const of = frontend({ address: addressOf(service), port: PORT, service: `bench/${service}` });
  const backends = Array.from({ length: BACKENDS }, (_, index) => {
    const number = service * BACKENDS + index;
    return {
      address: ip(`10.${128 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}`),
      ...{ port: 8080 as Port, nodeName: '' },
    };
  });
  const answering = { address: ip(backendIp(1, 4)), port: 8080 as Port, nodeName: '' };
  const isDialled = service === 0 || service === SERVICES - 1;
  return { ...of, backends: isDialled ? backends.map(() => answering) : backends };
}

function addressOf(service: number): string {
  return `10.96.${service >> 8}.${service & 255}`;
}

async function connectNs(client: ServiceClient, address: string): Promise<number> {
  const line = await client.order(`time ${address} ${PORT} ${CONNECTS}`);
  const found = /^ns (\d+)$/.exec(line)?.[1];
  if (found === undefined) throw new Error(`the client says: ${line}`);
  return Number(found);
}

/** A TCP connection from beginning to end, with the hooks, and with rules in their place. */
async function beside(
  { client, outside }: { readonly client: ServiceClient; readonly outside: ServiceClient },
  { first, last }: { readonly first: string; readonly last: string },
): Promise<void> {
  const rows = [['hooks', await connectionUs(client, first), await connectionUs(client, last)]];
  if (!values['no-iptables']) {
    addRules(SERVICES);
    rows.push(['iptables', await connectionUs(outside, first), await connectionUs(outside, last)]);
  }
  console.log(`\n${textTable(['A TCP CONNECTION, µS', 'TO THE FIRST', 'TO THE LAST'], rows)}`);
}

async function connectionUs(client: ServiceClient, address: string): Promise<string> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    const line = await client.order(`many ${address} ${PORT} ${TCP_CONNECTS}`);
    if (!line.startsWith('ok')) throw new Error(`the client says: ${line}`);
    times.push(((performance.now() - began) * 1000) / TCP_CONNECTS);
  }
  return median(times).toFixed(0);
}

/** As kube-proxy makes them: KUBE-SERVICES has a rule for each, whose chain translates. */
function addRules(count: number): void {
  const rules = Array.from({ length: count }, (_, service) => {
    const match = `-d ${addressOf(service)}/32 -p tcp -m tcp --dport ${PORT}`;
    return `-A KUBE-SERVICES ${match} -j KUBE-SVC-${service}`;
  });
  const chains = Array.from({ length: count }, (_, service) => {
    const backend = made(service).backends[0]?.address.text;
    return `-A KUBE-SVC-${service} -p tcp -j DNAT --to-destination ${backend}:8080`;
  });
  const names = Array.from({ length: count }, (_, service) => `:KUBE-SVC-${service} - [0:0]`);
  const text = [
    '*nat',
    ...[':KUBE-SERVICES - [0:0]', ...names],
    '-A PREROUTING -j KUBE-SERVICES',
    '-A OUTPUT -j KUBE-SERVICES',
    ...[...rules, ...chains, 'COMMIT', ''],
  ].join('\n');
  scene.node.feed(['iptables-restore'], text);
}

/** What the kernel counts for each map (memlock of its fdinfo). */
function memoryText(): string {
  const rows = SERVICE_MAPS.map((name): string[] => {
    const map: KernelMap = scene.hooks.maps[name];
    const info = readFileSync(`/proc/self/fdinfo/${map.fd}`, 'utf8');
    const bytes = Number(/^memlock:\s*(\d+)/m.exec(info)?.[1] ?? 0);
    return [name, (bytes / 1024 ** 2).toFixed(1)];
  });
  const sum = rows.reduce((total, [, mib]) => total + Number(mib), 0);
  return textTable(['MAP', 'MIB'], [...rows, ['in all', sum.toFixed(1)]]);
}

/** By the clock, and of this process: the machine may be busy with others. */
function timed(task: () => unknown): readonly [string, string] {
  const began = performance.now();
  const before = process.cpuUsage();
  task();
  const { user, system } = process.cpuUsage(before);
  return [(performance.now() - began).toFixed(1), ((user + system) / 1000).toFixed(1)];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
