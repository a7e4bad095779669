/**
 * What one more address and one more identity cost, and churn, in real workers and in a kernel's tables:
 *
 *     node bench/identities.ts [--addresses 50000] [--identities 5000] [--times 200] [--seconds 10] [--kernel]
 *
 * - until one more address, and one more identity, is in force in all workers and in the tables (median, p99);
 * - what a worker keeps for an address;
 * - 500 changes a second: CPU of a worker and of the supervisor, and what they add to requests, by turns without.
 *
 * Tables are maps in memory; with `--kernel` (root) they are the kernel's own. Goals: 10 ms, 25 ms, 1 kB, a quarter
 * of a core. The machine is shared: compare within one run only.
 */
import { execFileSync, fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { serialize } from 'node:v8';
import { textTable } from '../src/cli/text_table.ts';
import { placesOf } from '../src/control/set/identity_whole.ts';
import { type Accepted, PolicyChecker } from '../src/control/set/policy_checker.ts';
import { encodeBatch } from '../src/control/worker/identity_wire.ts';
import { encodeResolved } from '../src/control/worker/resolved_wire.ts';
import { parseSocketAddress, type SocketAddress } from '../src/model/address.ts';
import type { Identity, ProxyId } from '../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../src/model/limits.ts';
import { nodePlatform } from '../src/platform/node_platform.ts';
import type { PolicySnapshot } from '../src/policy/compiled/snapshot.ts';
import { type IdentityChange, IdentityLedger } from '../src/policy/identity/ledger.ts';
import { kernelDelta } from '../src/policy/kernel/kernel_delta.ts';
import { type KernelTable, kernelTable } from '../src/policy/kernel/kernel_table.ts';
import { DEFAULT_BEHAVIOUR } from '../src/proxy/plane/options.ts';
import { NO_BEHIND_CHANGES } from '../src/redirect/behind.ts';
import { openDatapath, removeDatapath } from '../src/redirect/kernel/datapath.ts';
import { planOf } from '../src/redirect/plan.ts';
import { type GenerationMaps, TableUpdater } from '../src/redirect/table_updater.ts';
import { createRe2Engine } from '../src/regex/re2_engine.ts';
import { processLauncher } from '../src/workers/process_worker.ts';
import { Supervisor } from '../src/workers/supervisor.ts';
import { FakeMap } from '../test/redirect/fake_node.ts';
import { addressOf, inputOf, labelsOf, prefixOf, WORKLOAD } from './identities/cluster.ts';

const WORKERS = 2;
const CLOCK_TICKS_PER_SECOND = 100;
const CHANGES_PER_SECOND = 500;
const WAIT_MS = 60_000;
const FIRST_NEW_IDENTITY = 0x01f0_0000;

const { values } = parseArgs({
  options: {
    addresses: { type: 'string', default: '50000' },
    identities: { type: 'string', default: '5000' },
    times: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '10' },
    kernel: { type: 'boolean', default: false },
  },
});
const addressCount = Number(values.addresses);
const identityCount = Number(values.identities);
const times = Number(values.times);
const seconds = Number(values.seconds);

async function main(): Promise<void> {
  const { accepted, snapshot } = take(addressCount);
  const kernel = new KernelSide(snapshot, values.kernel);
  const client = await Client.open();
  const workers = new WorkersSide(client.originPort);
  const ledger = new IdentityLedger(
    {
      ipcache: accepted.set.roster.ipcache,
      entries: [...accepted.set.roster.entries()],
      endpoints: placesOf(accepted.set.enforced.policies),
    },
    accepted.set.roster.sequence,
  );
  try {
    await workers.start(accepted);
    console.log(
      `${addressCount} addresses, ${identityCount} identities, 1000 policies, ${WORKERS} workers\n`,
    );
    const one = new OneMore({ ledger, kernel, workers });
    console.log(
      textTable(
        ['', 'median', 'p99', 'of it in the tables', 'new generations'],
        await one.measure(),
      ),
    );
    console.log(`\nheap of a worker for an address: ${memoryOfAddress()} bytes`);
    console.log(`\n${CHANGES_PER_SECOND} changes a second, by turns without:`);
    console.log(textTable(CHURN_HEAD, await churn({ ledger, workers, client })));
  } finally {
    await workers.stop();
    client.stop();
    kernel.stop();
  }
}

function take(count: number): { readonly accepted: Accepted; readonly snapshot: PolicySnapshot } {
  const store = new PolicyChecker({
    regexEngine: createRe2Engine(DEFAULT_LIMITS),
    limits: DEFAULT_LIMITS,
  });
  const accepted = store.update(inputOf(count, identityCount));
  if (accepted.kind === 'rejected') throw new Error(JSON.stringify(accepted.problems[0]));
  return { accepted, snapshot: store.current() };
}

class WorkersSide {
  readonly supervisor: Supervisor;
  #port = 0;

  constructor(originPort: number) {
    this.supervisor = new Supervisor({
      workerCount: WORKERS,
      settings: {
        listeners: [
          {
            name: 'bench',
            address: address('127.0.0.1:0'),
            direction: 'ingress',
            isTransparent: false,
            clientAddress: 'always',
            proxyId: 0 as ProxyId,
            destination: { kind: 'fixed', address: address(`${WORKLOAD.ip}:${WORKLOAD.port}`) },
            upstream: { kind: 'fixed', address: address(`127.0.0.1:${originPort}`) },
            identity: { kind: 'sources', sources: ['endpoints'] },
            isPortShared: false,
          },
        ],
        redirectRoot: '/sys/fs/bpf/sallyport',
        cilium: { root: '/sys/fs/bpf', ipcacheName: null },
        behaviour: DEFAULT_BEHAVIOUR,
        limits: DEFAULT_LIMITS,
        accessLog: { to: { kind: 'none' }, headers: [], isQueryLogged: false, allowSampling: 1 },
        logLevel: 'warn',
      },
      platform: nodePlatform(),
      launch: processLauncher({
        lineBytesMax: DEFAULT_LIMITS.workerOutputLineBytesMax,
        writeLines: (lines) => process.stderr.write(lines),
      }),
      events: {
        onWorkerDied: (_status, { how }) => fail(`a worker died: ${how}`),
        onWorkerHung: () => fail('a worker hangs'),
        onWorkerRestarted: () => {},
        onPolicyInForce: () => {},
        onWorkerUpdateFailed: (_status, _revision, problems) => fail(problems.join()),
        onIdentitiesBroken: (_status, problem) => fail(problem),
        onManyBatches: () => {},
        onCondition: () => {},
      },
    });
  }

  async start(accepted: Accepted): Promise<void> {
    const parts = encodeResolved(accepted.set);
    const started = await this.supervisor.start({ revision: accepted.revision, parts });
    if (started.kind === 'failed') throw new Error(started.message);
    this.#port = started.listeners[0]?.address.port ?? 0;
  }

  get port(): number {
    return this.#port;
  }

  pids(): readonly number[] {
    return this.supervisor.workers().map(({ pid }) => pid);
  }

  stop(): Promise<void> {
    return this.supervisor.stop();
  }
}

/** The loader's side: the tables in force, and what batches change in them. */
class KernelSide {
  newGenerationCount = 0;
  readonly #root: string | null;
  readonly #maps: GenerationMaps;
  readonly #updater: TableUpdater;
  #snapshot: PolicySnapshot;
  #table: KernelTable;

  constructor(snapshot: PolicySnapshot, isReal: boolean) {
    this.#root = isReal ? `/sys/fs/bpf/sallyport-bench-${process.pid}` : null;
    this.#maps = this.#root === null ? mapsInMemory() : realMaps(this.#root);
    this.#updater = new TableUpdater(this.#maps);
    this.#snapshot = snapshot;
    this.#table = this.#putInForce(snapshot);
  }

  take(batch: NonNullable<ReturnType<IdentityLedger['change']>>): void {
    const after = this.#snapshot.after(batch);
    const moved = { before: this.#snapshot, after, batches: [batch] };
    const delta = kernelDelta(this.#table, moved);
    if (delta === null) {
      this.newGenerationCount += 1;
      this.#table = this.#putInForce(after);
    } else {
      const labelsOf = (one: Identity) => after.labels.labelsOf(one);
      this.#updater.change({ ...delta, labelsOf, behind: NO_BEHIND_CHANGES });
    }
    this.#snapshot = after;
  }

  #putInForce(snapshot: PolicySnapshot): KernelTable {
    const table = kernelTable(snapshot, { isDnsAllowed: false });
    this.#updater.putInForce(
      planOf({
        ...table,
        prefixes: snapshot.node.prefixes,
        labelsOf: (identity) => snapshot.labels.labelsOf(identity),
        interfaces: new Map([[WORKLOAD.interface, 7]]),
        ports: new Set(),
        bare: new Set(),
        masters: new Map(),
        bridges: new Set(),
        linkAddresses: new Map(),
        otherBridges: [],
        isGuarded: false,
        claims: [],
        uplinks: [],
        hostAddresses: [],
        isHostJudged: false,
        behind: [],
      }),
    );
    this.#updater.removeOthers();
    return table;
  }

  stop(): void {
    if (this.#root !== null) removeDatapath(this.#root);
  }
}

function mapsInMemory(): GenerationMaps {
  const map = (): FakeMap => new FakeMap(1_000_000);
  const [verdicts, ports, endpoints] = [map(), map(), map()];
  const [addresses, behind, interfaces, settings] = [map(), map(), map(), map()];
  return { verdicts, ports, endpoints, addresses, behind, interfaces, settings };
}

function realMaps(root: string): GenerationMaps {
  const url = new URL('../src/redirect/bpf/build/sallyport.bpf.o', import.meta.url);
  return openDatapath({ root, objectPath: fileURLToPath(url) }).maps;
}

interface OneMoreParts {
  readonly ledger: IdentityLedger;
  readonly kernel: KernelSide;
  readonly workers: WorkersSide;
}

class OneMore {
  readonly #parts: OneMoreParts;
  #next = 0;

  constructor(parts: OneMoreParts) {
    this.#parts = parts;
  }

  async measure(): Promise<string[][]> {
    const known = this.#parts.ledger.roster.ipcache.lookup(addressOf(1)) as Identity;
    await this.#rounds(20, () => this.#address(known));
    return [
      ['one more address', ...(await this.#rounds(times, () => this.#address(known)))],
      ['one more identity', ...(await this.#rounds(times, () => this.#identity()))],
    ];
  }

  #address(identity: Identity): IdentityChange {
    return { addresses: [{ prefix: prefixOf(addressOf(200 * 65_536 + this.#next++)), identity }] };
  }

  #identity(): IdentityChange {
    const identity = (FIRST_NEW_IDENTITY + this.#next) as Identity;
    const labels = labelsOf(`new-${this.#next}`);
    return { ...this.#address(identity), identities: [{ identity, labels, prefixes: [] }] };
  }

  async #rounds(count: number, changeOf: () => IdentityChange): Promise<string[]> {
    const { ledger, kernel, workers } = this.#parts;
    const before = kernel.newGenerationCount;
    const whole: number[] = [];
    const tables: number[] = [];
    for (let i = 0; i < count; i++) {
      const startMs = performance.now();
      const batch = ledger.change(changeOf());
      if (batch === null) throw new Error('nothing changed');
      workers.supervisor.identities(encodeBatch(batch));
      const tablesMs = performance.now();
      kernel.take(batch);
      tables.push(performance.now() - tablesMs);
      if (!(await workers.supervisor.inForce(batch.sequence, WAIT_MS))) fail('never in force');
      whole.push(performance.now() - startMs);
    }
    const generations = String(kernel.newGenerationCount - before);
    return [
      ms(percentile(whole, 0.5)),
      ms(percentile(whole, 0.99)),
      ms(percentile(tables, 0.5)),
      generations,
    ];
  }
}

/** Of two processes, one with a tenth of the addresses and as many identities. */
function memoryOfAddress(): number {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-identities-'));
  const few = Math.max(identityCount, addressCount / 10);
  try {
    const [many = 0, less = 0] = [addressCount, few].map((count) => {
      const file = join(folder, String(count));
      writeFileSync(file, serialize(encodeResolved(take(count).accepted.set)));
      const main = fileURLToPath(new URL('./identities/memory_main.ts', import.meta.url));
      const out = execFileSync(process.execPath, ['--expose-gc', main, file], { encoding: 'utf8' });
      return Number(out.split(' ')[0]);
    });
    return Math.round((many - less) / (addressCount - few));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const CHURN_HEAD = [
  '',
  'requests/s',
  'failed',
  'p50',
  'p99',
  'p99.9',
  'CPU of a worker',
  'CPU of the supervisor',
];

async function churn(parts: {
  readonly ledger: IdentityLedger;
  readonly workers: WorkersSide;
  readonly client: Client;
}): Promise<string[][]> {
  const { workers, client } = parts;
  const rows: string[][] = [];
  await client.ask(workers.port, 2000);
  for (const isChurning of [false, true, false, true, false, true]) {
    const cpuBefore = workers.pids().map(cpuSeconds);
    const ownBefore = process.cpuUsage();
    const startMs = performance.now();
    const stop = isChurning ? startChurn(parts) : () => {};
    const answer = await client.ask(workers.port, seconds * 1000);
    stop();
    const took = (performance.now() - startMs) / 1000;
    const own = process.cpuUsage(ownBefore);
    const used = workers.pids().map((pid, i) => cpuSeconds(pid) - (cpuBefore[i] ?? 0));
    const share = used.reduce((sum, one) => sum + one, 0) / used.length / took;
    rows.push([
      isChurning ? 'with' : 'without',
      (answer.count / took).toFixed(0),
      String(answer.failures),
      ...[answer.p50, answer.p99, answer.p999].map(ms),
      `${(share * 100).toFixed(1)} %`,
      `${((own.user + own.system) / 1e4 / took).toFixed(1)} %`,
    ]);
  }
  rows.push(['churn, nobody asks', '', '', '', '', '', ...(await idleChurn(parts))]);
  return rows;
}

async function idleChurn(parts: {
  readonly ledger: IdentityLedger;
  readonly workers: WorkersSide;
}): Promise<[string, string]> {
  const before = parts.workers.pids().map(cpuSeconds);
  const ownBefore = process.cpuUsage();
  const stop = startChurn(parts);
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  stop();
  const used = parts.workers.pids().map((pid, i) => cpuSeconds(pid) - (before[i] ?? 0));
  const own = process.cpuUsage(ownBefore);
  const share = used.reduce((sum, one) => sum + one, 0) / used.length / seconds;
  return [
    `${(share * 100).toFixed(1)} %`,
    `${((own.user + own.system) / 1e4 / seconds).toFixed(1)} %`,
  ];
}

/** Addresses come, move and go, one a batch; every tenth brings an identity, or takes it away. */
function startChurn({
  ledger,
  workers,
}: {
  readonly ledger: IdentityLedger;
  readonly workers: WorkersSide;
}): () => void {
  const known = ledger.roster.ipcache.lookup(addressOf(1)) as Identity;
  let count = 0;
  const startMs = performance.now();
  const timer = setInterval(() => {
    const due = ((performance.now() - startMs) / 1000) * CHANGES_PER_SECOND;
    for (; count < due; count++) {
      const prefix = prefixOf(addressOf(210 * 65_536 + (count >> 1)));
      const identity = (FIRST_NEW_IDENTITY + 0x8_0000 + (count >> 1)) as Identity;
      const isNew = (count >> 1) % 10 === 0;
      const change: IdentityChange =
        count % 2 === 1
          ? { goneAddresses: [prefix] }
          : isNew
            ? {
                identities: [{ identity, labels: labelsOf(`churn-${count}`), prefixes: [] }],
                addresses: [{ prefix, identity }],
              }
            : { addresses: [{ prefix, identity: known }] };
      const batch = ledger.change(change);
      if (batch !== null) workers.supervisor.identities(encodeBatch(batch));
    }
  }, 2);
  return () => clearInterval(timer);
}

interface Answer {
  readonly count: number;
  readonly failures: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

class Client {
  readonly originPort: number;
  readonly #child: ReturnType<typeof fork>;

  private constructor(child: ReturnType<typeof fork>, originPort: number) {
    this.#child = child;
    this.originPort = originPort;
  }

  static async open(): Promise<Client> {
    const child = fork(fileURLToPath(new URL('./identities/client_main.ts', import.meta.url)));
    const { originPort } = (await message(child)) as { readonly originPort: number };
    return new Client(child, originPort);
  }

  async ask(port: number, forMs: number): Promise<Answer> {
    this.#child.send({ port, ms: forMs });
    return (await message(this.#child)) as Answer;
  }

  stop(): void {
    this.#child.kill();
  }
}

function message(child: ReturnType<typeof fork>): Promise<unknown> {
  return new Promise((resolve) => {
    child.once('message', resolve);
  });
}

function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_SECOND;
}

function percentile(numbers: readonly number[], part: number): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(part * numbers.length)] ?? 0;
}

function ms(number: number): string {
  return `${number.toFixed(2)} ms`;
}

function address(text: string): SocketAddress {
  const parsed = parseSocketAddress(text);
  if (parsed === null) throw new Error(text);
  return parsed;
}

function fail(why: string): never {
  throw new Error(why);
}

await main();
