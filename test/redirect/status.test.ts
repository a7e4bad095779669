/** `sallyport redirect status`: what is well, what differs, and who was refused what. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { redirectStatus } from '../../src/cli/redirect/status.ts';
import { redirectUp } from '../../src/cli/redirect/up.ts';
import type { Config } from '../../src/config/config.ts';
import type { Inspection } from '../../src/redirect/inspect.ts';
import { testIo } from '../cli/test_io.ts';
import type { FakeNode } from './fake_node.ts';
import { policy, streetNode } from './street_node.ts';

let fake: FakeNode;
let config: Config;

beforeEach(async () => {
  ({ fake, config } = streetNode());
  fake.inspection = (found) => found;
  const code = await redirectUp(config, { io: testIo(), isFollowing: false }, fake.node);
  expect(code).toBe(0);
});

afterEach(() => fake.dispose());

async function status(isJson = false) {
  const io = testIo();
  const code = await redirectStatus(config, { io, isJson }, fake.node);
  return { code, text: io.stdout.text };
}

async function problems(): Promise<readonly string[]> {
  const { code, text } = await status(true);
  const report = JSON.parse(text) as { isHealthy: boolean; problems: readonly string[] };
  expect([code, report.isHealthy]).toEqual(report.problems.length === 0 ? [0, true] : [1, false]);
  return report.problems;
}

const WITH_L7 = ', rules: { http: [{ method: GET }] }';

describe('status', () => {
  it('finds nothing to say after up', async () => {
    expect(await problems()).toEqual([]);
    const { code, text } = await status();
    expect(code).toBe(0);
    expect(text).toContain('state       up\n');
    expect(text).toMatch(/lxc_api +10 +shop\/api +attached/);
    expect(text).toMatch(/eth0 +2 +uplink +attached/);
    expect(text).toMatch(/from_interface +1 +1234/);
  });

  it('tells that nothing is up, and what the kernel lacks', async () => {
    fake.inspection = null;
    fake.missing = ['CAP_BPF is missing'];
    const { code, text } = await status();
    expect(code).toBe(1);
    expect(text).toMatch(/^CAP_BPF is missing\nnot up: /);
  });

  it('tells what cannot be read', async () => {
    fake.inspection = () => {
      throw new Error('OBJ_GET: EPERM');
    };
    expect(await status()).toEqual({
      code: 1,
      text: expect.stringContaining('cannot be read: OBJ_GET: EPERM'),
    });
  });

  const seen = (change: (found: Inspection) => Partial<Inspection>): void => {
    fake.inspection = (found) => ({ ...found, ...change(found) });
  };

  const drifts: readonly [about: string, drift: () => void, told: string][] = [
    [
      'an interface without a program',
      () => void fake.attached.delete(10),
      'interface lxc_api of shop/api does not have our programs',
    ],
    [
      'an interface that was made anew under its name',
      () => void fake.ip.links.set('lxc_api', { index: 30, ips: [], isUp: true }),
      'interface lxc_api of shop/api does not have our programs',
    ],
    [
      'an interface that has gone',
      () => void fake.ip.links.delete('lxc_web'),
      'interface lxc_web of shop/web is not there',
    ],
    ['an interface that no file names', () => void fake.attached.add(99), 'no file names it'],
    [
      'a link with a program of somebody else',
      () =>
        seen(({ links }) => ({
          links: links.map((link) => (link.target === 11 ? { ...link, programId: 77 } : link)),
        })),
      'interface lxc_web of shop/web does not have our programs',
    ],
    [
      'a namespace without the lookup program',
      () => seen(({ links }) => ({ links: links.filter(({ kind }) => kind !== 'netns') })),
      'proxy_lookup is not attached',
    ],
    [
      'a rule that somebody took away',
      () => {
        fake.ip.rules[4] = fake.ip.rules[4].filter(({ priority }) => priority !== 90);
      },
      'missing: IPv4 rule priority 90',
    ],
    ['programs of another build', () => seen(() => ({ object: 'object-0' })), 'another build'],
    ['pins of another layout', () => seen(() => ({ otherLayouts: ['v0'] })), 'left (v0)'],
    [
      'files newer than what is in force',
      () => fake.write('policy.yaml', policy(81)),
      'differs from the files in ports (1): redirect up',
    ],
    [
      'files newer than what is in force, and a loader that will take them over',
      () => {
        fake.isLocked = true;
        fake.write('policy.yaml', policy(81));
      },
      'the loader that follows',
    ],
    ['files that are rejected', () => fake.write('policy.yaml', 'kind: X'), 'are rejected'],
    [
      'a node with another address',
      () => void fake.ip.links.set('eth0', { index: 2, ips: ['192.0.2.8'], isUp: true }),
      'differs from the files in addresses (1)',
    ],
    [
      'loopback that is down',
      () => void fake.ip.links.set('lo', { index: 1, ips: ['127.0.0.1', '::1'], isUp: false }),
      'interface lo is down',
    ],
  ];

  it.each(drifts)('tells of %s', async (_about, drift, told) => {
    drift();
    expect(await problems()).toContainEqual(expect.stringContaining(told));
  });

  it('tells that L7 rules wait for a proxy, and nothing where there are none', async () => {
    seen(() => ({ listeners: { ip4: 0, ip6: 0, datagrams4: 0, datagrams6: 0 } }));
    expect(await problems()).toEqual([]);
    fake.write('policy.yaml', policy(80, WITH_L7));
    await redirectUp(config, { io: testIo(), isFollowing: false }, fake.node);
    expect(await problems()).toEqual([expect.stringContaining('no proxy listens')]);
  });

  it('shows what is redirected, by labels', async () => {
    fake.write('policy.yaml', policy(80, WITH_L7));
    await redirectUp(config, { io: testIo(), isFollowing: false }, fake.node);
    const { text } = await status();
    expect(text).toMatch(/shop\/api +ingress +TCP 80 +everybody\n/);
  });

  it('names who was refused, and says why', async () => {
    const refusal = {
      source: '10.0.0.6',
      destination: '10.0.0.5',
      destinationPort: 22,
      protocol: 6,
      reason: 'denied-ingress' as const,
      timeNs: 58_500_000_000n,
      count: 3n,
      sourceIdentity: 300,
      destinationIdentity: 301,
    };
    const stranger = { ...refusal, source: '203.0.113.9', sourceIdentity: 2, protocol: 1 };
    seen(() => ({ refusals: [refusal, stranger] }));
    const { code, text } = await status();
    expect(code).toBe(0);
    expect(text).toMatch(
      /shop\/web 10\.0\.0\.6 +shop\/api 10\.0\.0\.5 +TCP 22 +3 +1\.5 s +no ingress rule of the receiver/,
    );
    expect(text).toMatch(/reserved:world 203\.0\.113\.9 +shop\/api 10\.0\.0\.5 +ICMP type 0/);
  });

  it('holds identities for the same whose labels are, whatever their numbers', async () => {
    const shifted = (bytes: Buffer, at: number): Buffer => {
      const copy = Buffer.from(bytes);
      const number = copy.readUInt32LE(at);
      // Reserved ones have the same number everywhere.
      if (number >= 256) copy.writeUInt32LE(number + 1, at);
      return copy;
    };
    seen(({ inForce }) => ({
      inForce: {
        ...inForce,
        addresses: inForce.addresses.map(([key, value]) => [key, shifted(value, 0)]),
        endpoints: inForce.endpoints.map(([key, value]) => [key, shifted(value, 0)]),
        verdicts: inForce.verdicts.map(([key, value]) => [shifted(key, 8), value]),
      },
    }));
    expect(await problems()).toEqual([]);
  });
});
