/**
 * What a cluster costs the policy thread and a worker, by simulation, without an API server:
 *
 *     node --expose-gc bench/cluster.ts [--pods 50000] [--policies 2000] [--services 5000] [--nodes 1000] [--times 100]
 *
 * - until the first set is in force, and until a pod, a service, a node or a policy that is another one is told;
 * - CPU of the policy thread at 100 pod changes a second, with encoding;
 * - memory of the policy thread and of a worker.
 *
 * Goals: 2 ms for a pod, a fifth of a core, 400 MB and 200 MB. The machine is shared: compare within one run only.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { serialize } from 'node:v8';
import { textTable } from '../src/cli/text_table.ts';
import { ObjectOffers } from '../src/control/source/objects/object_offers.ts';
import { ObjectSet } from '../src/control/source/objects/object_set.ts';
import type { PolicySink, PolicySource } from '../src/control/source/source.ts';
import { DEFAULT_LIMITS } from '../src/model/limits.ts';
import type { Inventory } from '../src/policy/resolve/inventory.ts';
import { createRe2Engine } from '../src/regex/re2_engine.ts';
import type { FromPolicyThread } from '../src/workers/policy_messages.ts';
import { PolicyService } from '../src/workers/policy_service.ts';
import {
  inventoryOf,
  LOCAL_PODS,
  nodeOf,
  podOf,
  policyOf,
  type Sizes,
  serviceOf,
} from './cluster/world.ts';

const CHANGES_PER_SECOND = 100;

const { values } = parseArgs({
  options: {
    pods: { type: 'string', default: '50000' },
    policies: { type: 'string', default: '2000' },
    services: { type: 'string', default: '5000' },
    nodes: { type: 'string', default: '1000' },
    times: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '5' },
  },
});
const times = Number(values.times);
const SIZES: Sizes = {
  pods: Number(values.pods),
  nodes: Number(values.nodes),
  services: Number(values.services),
  policies: Number(values.policies),
  namespaces: 100,
  podsPerDeployment: 10,
};

async function main(): Promise<void> {
  const cluster = new Cluster(inventoryOf(SIZES));
  for (let index = 0; index < SIZES.policies; index++) cluster.put(index);
  const before = process.cpuUsage();
  const startMs = performance.now();
  cluster.start();
  const { user, system } = process.cpuUsage(before);
  console.log(
    `${SIZES.pods} pods (${LOCAL_PODS} here), ${SIZES.policies} policies, ${SIZES.services} services, ${SIZES.nodes} nodes\n`,
  );
  console.log(
    `first set: ${ms(performance.now() - startMs)} (CPU ${ms((user + system) / 1000)}), ${mb(cluster.setBytes)} for each worker, kept ${mb(cluster.formBytes)}`,
  );
  console.log(`policy thread, with all of the cluster: ${memory()}`);
  console.log(`a worker: ${memoryOfWorker(cluster.parts)}\n`);
  console.log(
    textTable(['one of', 'median CPU', 'p99', 'batches', 'sets', 'bytes'], changes(cluster)),
  );
  console.log(
    `\n${CHANGES_PER_SECOND} pods a second: ${(await churn(cluster)).toFixed(1)} % of a core`,
  );
  console.log(`policy thread after it: ${memory()}`);
}

/** The policy service with a source in memory; what it posts is counted and dropped. */
class Cluster {
  batchCount = 0;
  setCount = 0;
  bytes = 0;
  setBytes = 0;
  formBytes = 0;
  parts: readonly Uint8Array[] = [];
  #inventory: Inventory;
  readonly #offers: ObjectOffers;
  readonly #service: PolicyService;

  constructor(inventory: Inventory) {
    this.#inventory = inventory;
    const regexEngine = createRe2Engine(DEFAULT_LIMITS);
    const decode = { limits: DEFAULT_LIMITS, hasNodeLabels: false, regexEngine };
    const set = new ObjectSet({ decode, invalidPolicy: 'absent' });
    this.#offers = new ObjectOffers(set, {
      inventory,
      secrets: new Map(),
      documents: [],
      warnings: [],
    });
    const offers = this.#offers;
    const source: PolicySource = {
      name: 'bench',
      start: (sink: PolicySink) => offers.start(sink),
      refresh: (_sink, done) => done(),
      stop: () => offers.stop(),
    };
    const settings = {
      policyPaths: [],
      endpointsPath: null,
      secretsPath: null,
      hasNodeLabels: false,
      isEmptySetOpen: false,
      isHostJudged: false,
      invalidPolicy: 'absent',
      isDryRun: false,
      stateDir: null,
      isStateOurs: false,
      limits: DEFAULT_LIMITS,
    } as never;
    this.#service = new PolicyService(
      { settings, kept: null },
      {
        environment: { env: {}, home: null, userAgent: 'bench' },
        port: { post: (message) => this.#count(message) },
        sourceOf: () => source,
      },
    );
  }

  put(index: number): void {
    this.#offers.put(policyOf(index, SIZES));
  }

  start(): void {
    this.#service.handle({ kind: 'start' });
    this.#offers.synced(
      Array.from({ length: SIZES.policies }, (_, index) => policyOf(index, SIZES).ref),
    );
  }

  /** Only what is another one is another object. */
  change<Kind extends 'endpoints' | 'services' | 'cidrs'>(
    kind: Kind,
    at: number,
    to: Inventory[Kind][number] | null,
  ): void {
    const items = this.#inventory[kind].slice() as unknown[];
    if (to === null) items.splice(at, 1);
    else items[at] = to;
    this.#inventory = { ...this.#inventory, [kind]: items };
    this.#offers.surround({ inventory: this.#inventory });
  }

  rewrite(index: number, version: number): void {
    const policy = policyOf(index, SIZES);
    const { spec, ...rest } = policy.object as { spec: object };
    const object = { ...rest, spec: { ...spec, description: `version ${version}` } };
    this.#offers.put({ ...policy, version: String(version), object });
  }

  #count(message: FromPolicyThread): void {
    if (message.kind === 'started' && message.start.kind === 'changed') {
      const { sent } = message.start;
      this.parts = sent.set.parts;
      this.setBytes = bytesIn(sent.set.parts);
      this.formBytes = sent.form.bytes.byteLength;
    }
    if (message.kind === 'started' && message.start.kind === 'rejected') {
      throw new Error(message.start.problems.join('\n'));
    }
    if (message.kind !== 'read') return;
    if (message.read.kind === 'rejected') throw new Error(message.read.problems.join('\n'));
    if (message.read.kind === 'changed') {
      this.setCount += 1;
      const { parts = [], rules = [] } = message.read.sent.set;
      this.bytes += bytesIn(parts) + bytesIn(rules);
    } else if (message.read.kind === 'identities') {
      this.batchCount += 1;
      const { batch, form } = message.read.sent;
      this.bytes += batch.bytes.byteLength + (form?.bytes.byteLength ?? 0);
    }
  }
}

let versions = 1;

function changes(cluster: Cluster): string[][] {
  const far = (): number =>
    LOCAL_PODS + Math.floor(Math.random() * (SIZES.pods - LOCAL_PODS - 1000));
  const cases: readonly (readonly [string, number, (round: number) => void])[] = [
    ['pod, another object', times, () => pod(far())],
    [
      'pod, another address',
      times,
      (i) => cluster.change('endpoints', far(), podOf(SIZES.pods + i, SIZES)),
    ],
    ['pod, other labels', times, () => pod(far(), ++versions)],
    ['pod goes', times, () => cluster.change('endpoints', far(), null)],
    ['local pod, another object', times, () => pod(Math.floor(Math.random() * LOCAL_PODS))],
    [
      'service',
      times,
      (i) =>
        cluster.change(
          'services',
          3 + 10 * (i % 100),
          serviceOf(3 + 10 * (i % 100), SIZES, 2 + (i & 1)),
        ),
    ],
    ['node', times, (i) => cluster.change('cidrs', i % SIZES.nodes, nodeOf(SIZES.nodes + i))],
    ['policy', 3, (i) => cluster.rewrite(i, i + 2)],
  ];
  function pod(at: number, version = 1): void {
    cluster.change('endpoints', at, podOf(at, SIZES, version));
  }
  return cases.map(([about, count, change]) => {
    const before = { batches: cluster.batchCount, sets: cluster.setCount, bytes: cluster.bytes };
    const rounds = durationsOf(count, change);
    return [
      about,
      ms(percentile(rounds, 0.5)),
      ms(percentile(rounds, 0.99)),
      String(cluster.batchCount - before.batches),
      String(cluster.setCount - before.sets),
      String(Math.round((cluster.bytes - before.bytes) / rounds.length)),
    ];
  });
}

/** CPU time of each: the machine is shared. No longer than ten seconds. */
function durationsOf(count: number, change: (round: number) => void): readonly number[] {
  const durations: number[] = [];
  const endMs = performance.now() + 10_000;
  for (let round = 0; round < count && performance.now() < endMs; round++) {
    const before = process.cpuUsage();
    change(round);
    const { user, system } = process.cpuUsage(before);
    durations.push((user + system) / 1000);
  }
  return durations;
}

/** Pods get the labels of others and new ones, by turns. */
async function churn(cluster: Cluster): Promise<number> {
  const seconds = Number(values.seconds);
  const before = process.cpuUsage();
  const startMs = performance.now();
  let count = 0;
  while (performance.now() - startMs < seconds * 1000) {
    const due = ((performance.now() - startMs) / 1000) * CHANGES_PER_SECOND;
    for (; count < due && performance.now() - startMs < seconds * 1000; count++) {
      const at = LOCAL_PODS + ((count * 7919) % (SIZES.pods - 1000));
      const isNew = count % 10 === 0;
      cluster.change('endpoints', at, podOf(at, SIZES, isNew ? ++versions : 1));
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e4 / ((performance.now() - startMs) / 1000);
}

function memory(): string {
  globalThis.gc?.();
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  return `heap ${mb(heapUsed)}, external ${mb(external)}, RSS of the process ${mb(rss)}`;
}

function memoryOfWorker(parts: readonly Uint8Array[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-cluster-'));
  try {
    const file = join(folder, 'set');
    writeFileSync(file, serialize(parts));
    const main = fileURLToPath(new URL('./identities/memory_main.ts', import.meta.url));
    const out = execFileSync(process.execPath, ['--expose-gc', main, file], { encoding: 'utf8' });
    const [heap = 0, rss = 0] = out.split(' ').map(Number);
    return `heap ${mb(heap)}, RSS of a process that has nothing else ${mb(rss)}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function bytesIn(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function percentile(numbers: readonly number[], part: number): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(part * numbers.length)] ?? 0;
}

function ms(number: number): string {
  return `${number.toFixed(2)} ms`;
}

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

await main();
