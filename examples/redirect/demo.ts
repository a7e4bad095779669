/**
 * The redirect, to look at: `npm run demo:redirect` (root). Builds a node with three pods and a host
 * outside in network namespaces, attaches the kernel's programs, starts the proxy, and shows who may do
 * what, as whom, and how it ended. Leaves nothing behind, whatever happens.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { textTable } from '../../src/cli/text_table.ts';
import {
  type Ask,
  ask,
  echoOrigin,
  greet,
  type Outcome,
  seeingOrigin,
} from '../../test/redirect/root/exchange.ts';
import { type Command, RedirectRig } from '../../test/redirect/root/rig.ts';

const ORDERS = '10.20.0.1';
const WEB = '10.20.0.2';
const OFFICE = '10.20.0.3';
const RATES = '203.0.113.10';
/** Lines of the access log come together. */
const LOG_DELAY_MS = 300;

interface Step {
  readonly who: string;
  readonly what: string;
  readonly ask: Omit<Ask, 'from'>;
}

const STEPS: readonly Step[] = [
  { who: 'shop/web', what: 'orders', ask: { to: ORDERS, port: 8080, path: '/orders/42' } },
  {
    who: 'shop/web',
    what: 'orders',
    ask: { to: ORDERS, port: 8080, method: 'DELETE', path: '/orders/42' },
  },
  { who: 'shop/office', what: 'orders', ask: { to: ORDERS, port: 8080, path: '/orders/42' } },
  { who: 'shop/office', what: 'outside', ask: { to: RATES, port: 80, path: '/rates' } },
  { who: 'shop/office', what: 'outside', ask: { to: RATES, port: 80, path: '/secrets' } },
  { who: 'outside', what: 'orders', ask: { to: ORDERS, port: 8080, path: '/orders/42' } },
];

async function main(): Promise<void> {
  if (process.getuid?.() !== 0) {
    process.stderr.write(
      'demo:redirect needs root: it makes network namespaces and loads programs\n',
    );
    process.exitCode = 1;
    return;
  }
  say('A node with the pods shop/orders, shop/web and shop/office, and a host outside.');
  const rig = newRig();
  const servers = [seeingOrigin('orders'), echoOrigin(), seeingOrigin('outside')] as const;
  const isCutShort = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  try {
    await Promise.race([show(rig, servers), isCutShort]);
  } catch (error) {
    process.exitCode = 1;
    process.stderr.write(`demo:redirect: ${error instanceof Error ? error.message : error}\n`);
  } finally {
    for (const server of servers) server.close();
    await rig.dispose();
    say('Everything is taken away again: namespaces, programs, pins.');
  }
}

function newRig(): RedirectRig {
  return new RedirectRig({
    pods: [
      { name: 'shop/orders', ips: [ORDERS], labels: { app: 'orders' } },
      { name: 'shop/web', ips: [WEB], labels: { app: 'web' } },
      { name: 'shop/office', ips: [OFFICE], labels: { app: 'office' } },
    ],
    outside: [RATES],
    policies: [readFileSync(join(import.meta.dirname, 'orders.yaml'), 'utf8')],
  });
}

async function show(
  rig: RedirectRig,
  [orders, database, outside]: readonly ReturnType<typeof echoOrigin>[],
): Promise<void> {
  const { netns } = rig.pod('shop/orders');
  await netns.listen(orders as ReturnType<typeof echoOrigin>, { ip: ORDERS, port: 8080 });
  await netns.listen(database as ReturnType<typeof echoOrigin>, { ip: ORDERS, port: 5432 });
  await rig.outside.listen(outside as ReturnType<typeof echoOrigin>, { ip: RATES, port: 80 });
  say('sallyport redirect up --follow, and sallyport run beside it.');
  await rig.follow();
  const proxy = await rig.proxy();
  process.stdout.write(`\n${await requests(rig, proxy)}\n`);
  const plain = await greet({ from: rig.pod('shop/web').netns, to: ORDERS, port: 5432 });
  say(`shop/web to port 5432, which has no L7 rules: ${plain}, and the proxy never saw it.`);
  say('sallyport redirect status:');
  const { output } = await rig.redirect('status');
  process.stdout.write(`\n${output}\n`);
}

async function requests(rig: RedirectRig, proxy: Command): Promise<string> {
  const rows: string[][] = [];
  for (const step of STEPS) {
    const from = step.who === 'outside' ? rig.outside : rig.pod(step.who).netns;
    const before = proxy.lines().length;
    const outcome = await ask({ ...step.ask, from });
    rows.push([
      step.who,
      `${step.ask.method ?? 'GET'} ${step.ask.path} of ${step.what}`,
      outcomeText(outcome),
      seenText(outcome),
      await judgedText(proxy, before),
    ]);
  }
  return textTable(['who', 'asks', 'gets', 'seen by the server as', 'decided by'], rows);
}

function outcomeText(outcome: Outcome): string {
  return outcome.kind === 'answered' ? String(outcome.status) : outcome.kind;
}

function seenText(outcome: Outcome): string {
  return outcome.kind === 'answered' && outcome.seen !== null
    ? (outcome.seen.remote.split(' ')[0] ?? '')
    : '-';
}

/** What the access log says; what the kernel refused never came to the proxy. */
async function judgedText(proxy: Command, before: number): Promise<string> {
  await sleep(LOG_DELAY_MS);
  const record = proxy
    .lines()
    .slice(before)
    .find((line) => line['msg'] === 'request');
  if (record === undefined) return 'the kernel, by the same policy';
  const { policy, rule, reason } = record;
  return rule === undefined || rule === null ? `proxy: ${reason}` : `proxy: ${policy} ${rule}`;
}

function say(text: string): void {
  process.stdout.write(`• ${text}\n`);
}

await main();
