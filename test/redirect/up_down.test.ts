/** `sallyport redirect up` and `down` on a node in memory: what is done, in which order, and what not. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCommandLine } from '../../src/cli/command_line.ts';
import { redirectDown } from '../../src/cli/redirect/down.ts';
import { RedirectFollower } from '../../src/cli/redirect/follow.ts';
import { RedirectLoader } from '../../src/cli/redirect/loader.ts';
import { redirectUp } from '../../src/cli/redirect/up.ts';
import type { Config } from '../../src/config/config.ts';
import { createLogger } from '../../src/observe/log/logger.ts';
import { testIo } from '../cli/test_io.ts';
import { until } from '../support/until.ts';
import type { FakeNode } from './fake_node.ts';
import { ENDPOINTS, policy, streetNode } from './street_node.ts';

let fake: FakeNode;
let config: Config;

beforeEach(() => {
  ({ fake, config } = streetNode());
});

afterEach(() => fake.dispose());

async function up() {
  const io = testIo();
  const code = await redirectUp(config, { io, isFollowing: false }, fake.node);
  return { code, out: io.stdout.text, err: io.stderr.text };
}

const at = (text: string): number => fake.events.findIndex((event) => event.startsWith(text));

describe('up', () => {
  it('has rules and tables in force before the first packet meets a program', async () => {
    const { code, out, err } = await up();
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain('generation 1 in force: 2 endpoints');
    expect(fake.attached).toEqual(new Set([2, 10, 11]));
    const attach = at('attach 2');
    expect(at('ip -4 rule add priority 90')).toBeLessThan(attach);
    expect(at('ip -6 rule add priority 90')).toBeLessThan(attach);
    expect(at('attach lookup')).toBeLessThan(attach);
    expect(at('generation 1')).toBeLessThan(attach);
    expect(at('commit')).toBeGreaterThan(at('attach 11'));
    expect(fake.sysctls.get('net.ipv4.tcp_migrate_req')).toBe('1');
  });

  it('watches everybody before it refuses what nobody has judged', async () => {
    await up();
    const watched = ['watch 2', 'watch 10', 'watch 11'].map(at);
    expect(Math.min(...watched)).toBeGreaterThan(at('generation 1'));
    expect(Math.max(...watched)).toBeLessThan(at('attach 2'));
  });

  it('again brings up to date what is there, under the next generation', async () => {
    await up();
    fake.events.length = 0;
    fake.attached.add(99);
    const { code, out } = await up();
    expect(code).toBe(0);
    expect(out).toContain('generation 2 in force');
    expect(out).not.toContain('added');
    expect(fake.events).toEqual([
      'attach lookup',
      'generation 2',
      'attach 2',
      'attach 10',
      'attach 11',
      'detach 99',
      'commit',
    ]);
    for (const map of [fake.maps.ports, fake.maps.interfaces]) {
      for (const key of map.keys()) expect([0, 4].map((i) => key.readUInt32LE(i))).toContain(2);
    }
  });

  it('shuts an interface that no endpoint has any more: to leave the file is no leave to pass', async () => {
    await up();
    fake.write('endpoints.yaml', ENDPOINTS.replace(/^.*shop\/web.*$/m, ''));
    const { out } = await up();
    expect(fake.attached.has(11)).toBe(true);
    expect(out).toContain('let nothing through');
    const known = [...fake.maps.interfaces.keys()].map((key) => key.readUInt32LE(4));
    expect(known.sort()).toEqual([10, 2]);
    fake.ip.links.delete('lxc_web');
    await up();
    expect(fake.attached.has(11)).toBe(false);
  });

  it('lets go of an uplink that is none any more', async () => {
    await up();
    config = { ...config, redirect: { ...config.redirect, uplinks: [] } };
    await up();
    expect([...fake.attached].sort()).toEqual([10, 11]);
  });

  it('changes nothing when the policy is rejected', async () => {
    await up();
    fake.events.length = 0;
    fake.write('policy.yaml', 'kind: Nonsense');
    const { code, err } = await up();
    expect([code, fake.events, fake.generation]).toEqual([1, [], 1]);
    expect(err).toContain('policy.yaml:1');
  });

  it('takes no empty file at its word: an endpoint that no policy selects is open', async () => {
    await up();
    fake.events.length = 0;
    fake.write('policy.yaml', ' \n');
    const { code, err } = await up();
    expect([code, fake.events, fake.generation]).toEqual([1, [], 1]);
    expect(err).toContain('is empty');
  });

  it('changes nothing when the node cannot do it, and says why', async () => {
    fake.missing = ['CAP_BPF is missing'];
    expect(await up()).toEqual({ code: 1, out: '', err: 'sallyport: CAP_BPF is missing\n' });
    expect(fake.events).toEqual([]);
  });

  it('attaches nothing when the rules cannot be set', async () => {
    fake.ip.rules[4].push({ priority: 90, src: '10.0.0.0', table: '7' });
    const { code, err } = await up();
    expect([code, fake.attached.size]).toEqual([1, 0]);
    expect(err).toContain('rulePriority');
  });

  it('does without the sysctl where it may not set it, and says so', async () => {
    fake.isSysctlReadOnly = true;
    const { code, out } = await up();
    expect([code, fake.attached.size]).toEqual([0, 3]);
    expect(out).toContain('net.ipv4.tcp_migrate_req was 0 and stays so (EROFS); it should be 1');
  });

  it('is refused while another loader is at work', async () => {
    fake.isLocked = true;
    const { code, err } = await up();
    expect([code, fake.events]).toEqual([1, []]);
    expect(err).toContain('another');
  });

  it.each([
    ['no policies', (): void => fake.write('policy.yaml', '# none\n'), 'everything is denied'],
    [
      'no interfaces',
      (): void =>
        fake.write('endpoints.yaml', ENDPOINTS.replaceAll(/, interface: lxc_[a-z]+/g, '')),
      'nothing here is judged',
    ],
    [
      'no uplinks beside L7 rules',
      (): void => {
        config = { ...config, redirect: { ...config.redirect, uplinks: [] } };
        fake.write('policy.yaml', policy(80, ', rules: { http: [{ method: GET }] }'));
      },
      'redirect.uplinks is empty',
    ],
    [
      'a proxy in dry-run',
      (): void => {
        config = { ...config, behaviour: { ...config.behaviour, isDryRun: true } };
      },
      'behaviour.dryRun',
    ],
  ])('warns of %s', async (_about, change, told) => {
    expect((await up()).err).toBe('');
    change();
    const { code, err } = await up();
    expect([code, err]).toEqual([0, expect.stringContaining(told)]);
  });

  it('tells which interfaces are not there', async () => {
    fake.ip.links.delete('lxc_web');
    const { code, err } = await up();
    expect([code, fake.attached]).toEqual([0, new Set([2, 10])]);
    expect(err).toContain('interface lxc_web of shop/web is not there');
  });
});

describe('the verb', () => {
  it.each([
    [['redirect'], 'needs up|down|status'],
    [['redirect', 'sideways'], '"sideways" is none of up, down, status'],
    [['redirect', 'down', '--follow'], '--follow is for up'],
    [['redirect', 'up', '-o', 'json'], '--output is for status'],
    [['redirect', 'up', '-c', 'nowhere.yaml'], 'nowhere.yaml: no such file'],
  ])('%j is wrong usage, and touches nothing', async (argv, told) => {
    const io = testIo();
    expect(await runCommandLine(argv, io)).toBe(2);
    expect(io.stderr.text).toContain(told);
  });
});

describe('down', () => {
  it('takes the programs away before the rules that deliver what they mark', async () => {
    await up();
    fake.write('bpf', '');
    fake.events.length = 0;
    const io = testIo();
    expect(
      await redirectDown(
        { ...config, redirect: { ...config.redirect, root: fake.dir } },
        io,
        fake.node,
      ),
    ).toBe(0);
    expect(fake.events[0]).toBe('programs removed');
    expect(fake.events.slice(1).every((event) => /^ip -[46] (rule|route) del/.test(event))).toBe(
      true,
    );
    expect(fake.ip.rules[4].some(({ priority }) => priority === 90)).toBe(false);
  });

  it('where nothing is up has nothing to do', async () => {
    const io = testIo();
    expect(await redirectDown(config, io, fake.node)).toBe(0);
    expect([io.stdout.text, fake.events]).toEqual(['', []]);
  });

  it('is refused while a loader follows: it would set up again what goes', async () => {
    fake.isLocked = true;
    expect(await redirectDown(config, testIo(), fake.node)).toBe(1);
    expect(fake.events).toEqual([]);
  });
});

describe('--follow', () => {
  it('takes over policies, interfaces and rules, and a rejected set changes nothing', async () => {
    const end = new AbortController();
    const loader = new RedirectLoader(config, fake.node);
    await loader.start();
    let lines = '';
    const log = createLogger({
      level: 'info',
      write: (line) => {
        lines += line;
      },
    });
    const running = new RedirectFollower({
      config,
      node: fake.node,
      loader,
      log,
      signal: end.signal,
    }).run();
    expect(lines).toContain('"msg":"following"');

    fake.write('policy.yaml', policy(81));
    await until(() => fake.generation === 2);

    fake.write('policy.yaml', 'kind: [');
    await until(() => lines.includes('policy rejected'));
    expect(fake.generation).toBe(2);
    fake.write('policy.yaml', policy(82));
    await until(() => fake.generation === 3);

    fake.ip.links.set('lxc_api', { index: 20, ips: [], isUp: true });
    await until(() => fake.attached.has(20) && !fake.attached.has(10));
    // The tables know the new interface before it is attached, and no longer the old one when it goes.
    expect(at('generation 4')).toBeLessThan(at('attach 20'));
    expect(at('generation 4')).toBeLessThan(at('detach 10'));

    // Ours by its name: it has the programs as soon as anybody tells of it, and no table needs to change.
    const told = {
      ifindex: 30,
      name: 'veth_new',
      master: null,
      isGone: false,
      address: '7a:00:00:00:00:01',
    };
    for (const link of [told, { ...told, ifindex: 31, name: 'other' }]) fake.links?.onLink(link);
    expect(fake.attached.has(30)).toBe(true);
    expect(fake.attached.has(31)).toBe(false);
    fake.attached.delete(30);

    // A rule that somebody takes away comes back, and so does a program whose interface was made anew.
    fake.ip.rules[4] = fake.ip.rules[4].filter(({ priority }) => priority !== 90);
    await until(() => fake.ip.rules[4].some(({ priority }) => priority === 90));
    fake.events.length = 0;
    fake.attached.delete(20);
    fake.isLookupLost = true;
    await until(() => fake.events.includes('attach 20'));
    expect(fake.events).toContain('attach lookup');
    // So does everything, when the pins are gone.
    fake.attached.clear();
    fake.isRemoved = true;
    await until(() => fake.attached.size === 3);
    expect(fake.generation).toBe(5);

    end.abort();
    await running;
    await loader.close();
    expect(fake.attached).toEqual(new Set([2, 11, 20]));
    expect(fake.generation).toBe(5);
  });
});
