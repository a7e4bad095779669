/**
 * Three processes that may write what became of policies, and a real API server that counts what they write: one of them
 * does, whatever becomes of it, and only what is new.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../support/until.ts';
import { type Account, ControlPlane, type RbacRule } from './parts/control_plane.ts';
import { OPEN_DEFINITIONS } from './parts/definitions.ts';
import type { Wire } from './parts/wire.ts';

const MAIN = join(fileURLToPath(new URL('.', import.meta.url)), 'parts/reporter_main.ts');
const READS: RbacRule = {
  apiGroups: ['cilium.io'],
  resources: ['ciliumnetworkpolicies'],
  verbs: ['list'],
};
/** Those of docs/kubernetes.md. */
const WRITES: readonly RbacRule[] = [
  { apiGroups: ['cilium.io'], resources: ['ciliumnetworkpolicies/status'], verbs: ['patch'] },
  { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'patch', 'create'] },
];
const TAKEN_MS = 150_000;

let cluster: ControlPlane;
let account: Account;
const reporters: Reporter[] = [];

class Reporter {
  readonly child: ChildProcess;
  lines: string[] = [];

  constructor(kubeconfig: string, name: string, skewMs = 0) {
    this.child = spawn(process.execPath, [MAIN, kubeconfig, name, `${skewMs}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.lines.push(...text.split('\n').filter((line) => line !== ''));
    });
  }

  get isElected(): boolean {
    return this.lines.findLast((line) => line === 'elected' || line === 'over') === 'elected';
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    this.child.kill('SIGCONT');
    await ended;
    this.lines = [];
  }
}

beforeAll(async () => {
  cluster = await ControlPlane.start({ store: 'etcd' });
  await cluster.applyDefinitions(OPEN_DEFINITIONS);
  account = await cluster.account('sallyport/sallyport', [READS, ...WRITES]);
  await cluster.kubectl(['create', 'namespace', 'shop']);
});

afterAll(async () => {
  await endAll();
  await cluster.stop();
});

describe('three processes', () => {
  let wire: Wire;

  beforeAll(async () => {
    wire = await cluster.wire();
    const slow = await cluster.wire();
    slow.slow(300);
    const { token } = account;
    const credentials = { kind: 'token', token } as const;
    start(cluster.kubeconfigFor(credentials, wire.url), 'node-a');
    start(cluster.kubeconfigFor(credentials, slow.url), 'node-b', 3_600_000);
    start(account.kubeconfig, 'node-c', -3_600_000);
  });

  it('write the status of each policy once, as kubectl shows it', async () => {
    await cluster.apply([policy('good'), policy('bad', 'unknown field')].join('---\n'));
    await until(async () => (await valid('good')) === 'True' && (await valid('bad')) === 'False');
    expect(await cluster.kubectl(['-n', 'shop', 'describe', 'cnp', 'bad'])).toContain(
      'spec: unknown-field; nothing of it is in force',
    );
    await until(async () => (await events()).includes('PolicyRefused'));
    expect(statusWrites()).toHaveLength(2);
    expect(elected()).toHaveLength(1);
    // What they wrote comes back to all of them, many times.
    await listedAgain();
    expect(statusWrites()).toHaveLength(2);
  });

  it('go on when the one who writes is killed', async () => {
    const [writer] = elected();
    await writer?.end();
    await cluster.apply(policy('good', 'now it is bad'));
    await until(async () => (await valid('good')) === 'False', TAKEN_MS);
    expect(elected()).toHaveLength(1);
    expect(await holder()).toContain(nameOf(elected()[0]));
    expect(statusWrites('good')).toHaveLength(2);
  });

  it('go on when the one who writes is stopped, which then knows that its time is over', async () => {
    if (writerCount() < 2) start(account.kubeconfig, 'node-d');
    const [writer] = elected();
    writer?.child.kill('SIGSTOP');
    await cluster.apply(policy('good'));
    await until(async () => (await valid('good')) === 'True', TAKEN_MS);
    writer?.child.kill('SIGCONT');
    await until(() => writer?.lines.includes('over') === true);
    expect(elected()).toHaveLength(1);
    expect(statusWrites('good')).toHaveLength(3);
  });

  it('write nothing for a while, and then once, when the API server is gone and comes back', async () => {
    await cluster.apiServer.end('SIGKILL');
    await until(() => elected().length === 0, TAKEN_MS);
    await cluster.startApiServer();
    await cluster.apply(policy('good', 'bad again'));
    await until(async () => (await valid('good')) === 'False', TAKEN_MS);
    expect(statusWrites('good')).toHaveLength(4);
    expect(elected()).toHaveLength(1);
  });

  it('hand over when the way of the one who writes is dead', async () => {
    await endAll();
    const { token } = account;
    const kubeconfig = cluster.kubeconfigFor({ kind: 'token', token }, wire.url);
    const first = start(kubeconfig, 'node-e');
    await until(() => first.isElected, TAKEN_MS);
    const second = start(account.kubeconfig, 'node-f');
    wire.stall();
    await cluster.apply(policy('good'));
    await until(async () => (await valid('good')) === 'True', TAKEN_MS);
    expect(first.isElected).toBe(false);
    expect(second.isElected).toBe(true);
    wire.mend();
    expect(statusWrites('good')).toHaveLength(5);
  });
});

describe('a process without the rights', () => {
  it('says so once for each, and goes on', async () => {
    await endAll();
    const poor = await cluster.account('sallyport/poor', [READS]);
    const reporter = start(poor.kubeconfig, 'node-g');
    await until(() => reporter.lines.length > 0);
    await listedAgain();
    expect(reporter.lines).toEqual([
      expect.stringMatching(/^problem no right to hold the Lease sallyport\/sallyport-report: /),
    ]);
    const half = await cluster.account('sallyport/half', [READS, ...WRITES.slice(2)]);
    await cluster.apply(policy('good', 'once more'));
    const other = start(half.kubeconfig, 'node-h');
    await until(
      () => other.lines.some((line) => line.includes('the status of policies')),
      TAKEN_MS,
    );
    await until(() => other.lines.some((line) => line.includes('Events cannot be')), TAKEN_MS);
    await listedAgain();
    expect(other.lines.filter((line) => line.startsWith('problem'))).toHaveLength(2);
    expect(other.child.exitCode).toBeNull();
  });
});

function start(kubeconfig: string, name: string, skewMs = 0): Reporter {
  const reporter = new Reporter(kubeconfig, name, skewMs);
  reporters.push(reporter);
  return reporter;
}

async function endAll(): Promise<void> {
  for (const reporter of reporters) await reporter.end();
}

function elected(): readonly Reporter[] {
  return reporters.filter(({ isElected }) => isElected);
}

function writerCount(): number {
  return reporters.filter(({ child }) => child.exitCode === null && child.signalCode === null)
    .length;
}

function nameOf(reporter: Reporter | undefined): string {
  return reporter?.child.spawnargs.find((arg) => arg.startsWith('node-')) ?? 'nobody';
}

function policy(name: string, bad?: string): string {
  return `${JSON.stringify({
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: {
      namespace: 'shop',
      name,
      labels: bad === undefined ? {} : { bad: bad.replaceAll(' ', '-') },
    },
    spec: { endpointSelector: {}, ingress: [{}], description: bad ?? 'good' },
  })}\n`;
}

async function valid(name: string): Promise<string> {
  const path = `jsonpath={.status.conditions[?(@.type=='Valid')].status}`;
  return await cluster.kubectl(['-n', 'shop', 'get', 'cnp', name, '-o', path]);
}

function events(): Promise<string> {
  return cluster.kubectl(['-n', 'shop', 'get', 'events']);
}

function holder(): Promise<string> {
  const path = 'jsonpath={.spec.holderIdentity}';
  return cluster.kubectl(['-n', 'sallyport', 'get', 'lease', 'sallyport-report', '-o', path]);
}

function statusWrites(name?: string) {
  return cluster.audit
    .writes()
    .filter((one) => one.resource === 'ciliumnetworkpolicies/status' && one.code === 200)
    .filter((one) => name === undefined || one.name === name);
}

/** Every process that lives has seen the policies at least five times more. */
async function listedAgain(): Promise<void> {
  const count = (): number =>
    cluster.audit
      .requests()
      .filter(({ verb, user }) => verb === 'list' && user.includes(':sallyport:')).length;
  const wanted = count() + 5 * writerCount();
  await until(() => count() >= wanted);
}
