/** Names that are answered: whoever gets an answer is let through, at the first try, in each worker, whatever else changes. */
import { afterEach, expect, it } from 'vitest';
import { LearningRig, learningPolicy } from '../support/learning_rig.ts';
import { until } from '../support/until.ts';

let rig: LearningRig;
afterEach(() => rig.stop());

it('the first connection after the first answer is let through, and nothing else is', async () => {
  rig = new LearningRig();
  await rig.start();
  rig.zone.set('api.stripe.com', ['198.51.100.1', '198.51.100.2']);
  rig.zone.set('s3.amazonaws.com', ['198.51.100.3']);
  rig.zone.set('other.example.org', ['198.51.100.4']);
  expect(await rig.get('198.51.100.1')).toBe(0);
  await rig.ask('api.stripe.com');
  expect(await rig.get('198.51.100.1')).toBe(200);
  expect(await rig.get('198.51.100.2')).toBe(200);
  expect(await rig.get('198.51.100.1', { port: 81 })).toBe(0);
  await rig.ask('s3.amazonaws.com');
  await rig.ask('other.example.org');
  expect(await rig.get('198.51.100.3')).toBe(200);
  expect(await rig.get('198.51.100.4')).toBe(0);
});

it('what was learned is listed: who asked, for how long, and what was not learned is not', async () => {
  rig = new LearningRig();
  await rig.start();
  rig.zone.set('api.stripe.com', ['198.51.100.2', '198.51.100.1', '127.0.0.9']);
  rig.zone.set('other.example.org', ['198.51.100.4']);
  await rig.ask('api.stripe.com');
  await rig.ask('other.example.org');
  const list = async (...flags: readonly string[]) => {
    const admin = ['--admin', `127.0.0.1:${rig.adminPort}`];
    const asking = rig.scratch.run(['fqdn', 'cache', 'list', ...admin, ...flags]);
    expect(await asking.ended).toBe(0);
    return asking.stdout;
  };
  expect(JSON.parse(await list('-o', 'json'))).toMatchObject({
    ...{ kind: 'FqdnCache', names: 1, addresses: 2, evicted: 0 },
    lookups: [
      {
        ...{ endpoint: 'default/client', source: 'lookup', fqdn: 'api.stripe.com.' },
        ips: ['198.51.100.1', '198.51.100.2'],
      },
    ],
  });
  expect(await list('-p', '*.stripe.com')).toMatch(
    /^default\/client +lookup +api\.stripe\.com\. /m,
  );
  expect(await list('-e', 'default/other')).not.toContain('stripe');
  const metrics = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${rig.adminPort}/metrics`)).text();
  await until(async () => (await metrics()).includes('sallyport_fqdn_addresses 2\n'));
  expect(await metrics()).toContain('sallyport_fqdn_refused_total{reason="own"} 0\n');
  expect(await metrics()).toContain('sallyport_fqdn_refused_total{reason="special"} 1\n');
});

it('so it is under policy churn, each time', async () => {
  rig = new LearningRig();
  await rig.start('workers: 2\nlimits: { reloadDelayMs: 10, reloadPollIntervalMs: 50 }');
  let isOver = false;
  const churn = (async () => {
    for (let i = 0; !isOver; i++) {
      const path = i % 2 === 0 ? '/a' : '/b';
      const l7 = `, rules: { http: [{ path: / }, { path: ${path} }] }`;
      rig.scratch.write('policies/api.yaml', learningPolicy(l7));
      const revision = i + 2;
      await until(() => isOver || rig.proxy.stdout.includes(`"revision":${revision}`));
    }
  })();
  const refused: string[] = [];
  for (let i = 0; i < 200; i++) {
    const [name, ip] = [`host-${i}.amazonaws.com`, `198.51.${100 + (i >> 7)}.${1 + (i % 128)}`];
    rig.zone.set(name, [ip]);
    await rig.ask(name);
    const status = await rig.get(ip);
    if (status !== 200) refused.push(`${name} ${ip}: ${status}`);
  }
  isOver = true;
  await churn;
  expect(refused).toEqual([]);
}, 120_000);

it('what was learned is in force before a proxy that starts again serves, also one that was killed', async () => {
  rig = new LearningRig();
  await rig.start('workers: 2\nstateDir: state');
  rig.zone.set('api.stripe.com', ['198.51.100.1']);
  await rig.ask('api.stripe.com');
  await rig.proxy.kill();
  await rig.run('workers: 2\nstateDir: state');
  expect(await rig.get('198.51.100.1')).toBe(200);
  expect(await rig.get('198.51.100.2')).toBe(0);
});

it('a policy thread that ends without a state folder takes what it learned with it, in each worker', async () => {
  rig = new LearningRig();
  const limits = 'policyMemoryBytesMax: 67108864, reloadDelayMs: 10, reloadPollIntervalMs: 50';
  await rig.start(`workers: 2\nlimits: { ${limits} }`);
  rig.zone.set('api.stripe.com', ['198.51.100.1']);
  await rig.ask('api.stripe.com');
  expect(await rig.get('198.51.100.1')).toBe(200);
  const annotations = Array.from({ length: 150_000 }, (_, i) => `    k${i}: v\n`).join('');
  const metadata = `metadata:\n  name: large\n  namespace: default\n  annotations:\n${annotations}`;
  const large = learningPolicy().replace(/metadata: .*/, metadata);
  rig.scratch.write('policies/large.yaml', large);
  await rig.proxy.message('policy thread ended; it starts again');
  // Nobody knows any more for how long the address was to stay.
  await until(async () => (await rig.get('198.51.100.1')) === 0);
  for (let i = 0; i < 8; i++) expect(await rig.get('198.51.100.1')).toBe(0);
  await rig.ask('api.stripe.com');
  expect(await rig.get('198.51.100.1')).toBe(200);
}, 120_000);

it('an answer that leads into the cluster, or to the machine itself, changes nothing', async () => {
  rig = new LearningRig();
  await rig.start();
  rig.zone.set('evil.amazonaws.com', [
    '10.96.0.10',
    '127.0.0.9',
    '169.254.169.254',
    '198.51.100.9',
  ]);
  await rig.ask('evil.amazonaws.com');
  expect(await rig.get('198.51.100.9')).toBe(200);
  for (const ip of ['10.96.0.10', '127.0.0.9', '169.254.169.254'])
    expect(await rig.get(ip)).toBe(0);
});

it('an address that had its time is refused again', async () => {
  rig = new LearningRig();
  rig.ttlSeconds = 0;
  await rig.start('workers: 1\nlimits: { dnsLearnedGraceMs: 1000 }');
  rig.zone.set('api.stripe.com', ['198.51.100.1']);
  // A second may be over between the two, where much else runs.
  await until(async () => {
    await rig.ask('api.stripe.com');
    return (await rig.get('198.51.100.1')) === 200;
  });
  await until(async () => (await rig.get('198.51.100.1')) === 0);
});
