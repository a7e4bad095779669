/** What each witness reads, and what it does not believe. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  CniResults,
  type CniResultsOptions,
  parseCniResult,
} from '../../../src/redirect/interfaces/cni_results.ts';
import { answeredId } from '../../../src/redirect/interfaces/netns_ids.ts';
import { PodProcesses, podUidOf } from '../../../src/redirect/interfaces/pod_processes.ts';
import { hostRoutes, Routes } from '../../../src/redirect/interfaces/routes.ts';
import { readVeths } from '../../../src/redirect/interfaces/veths.ts';
import type { AskedPod, Hearing, Veth } from '../../../src/redirect/interfaces/witness.ts';

const UID = '0b0c4f4e-6f0e-4f0c-9d3a-2f6d1f0a7c11';
const OTHER = '11111111-6f0e-4f0c-9d3a-2f6d1f0a7c11';
const API: AskedPod = { name: 'shop/api', ips: ['10.0.0.5', 'fd00::5'], podUid: UID };
const VETHS: readonly Veth[] = [
  { ifindex: 10, name: 'veth10', netnsId: 3 },
  { ifindex: 11, name: 'veth11', netnsId: 4 },
];

const said = ({ testimonies }: Hearing, pod = 'shop/api') =>
  (testimonies.get(pod) ?? []).map(({ by, veths }) => [by, ...veths]);

describe('routes', () => {
  const cases: readonly [about: string, entry: object, expected: readonly string[]][] = [
    ['ptp: scope host', { dst: '10.0.0.5', dev: 'veth10', scope: 'host' }, ['veth10']],
    ['Calico: scope link', { dst: '10.0.0.5', dev: 'cali1', scope: 'link' }, ['cali1']],
    ['IPv6', { dst: 'fd00::5', dev: 'veth10', metric: 1024, pref: 'medium' }, ['veth10']],
    ['in another form', { dst: 'fd00:0::5', dev: 'veth10' }, ['veth10']],
    ['a prefix is none', { dst: '10.0.0.0/24', dev: 'cni0', scope: 'link' }, []],
    ['default is none', { dst: 'default', dev: 'eth0' }, []],
    ['over a gateway is none', { dst: '10.0.0.5', gateway: '10.0.0.1', dev: 'veth10' }, []],
    ['over an IPv6 gateway is none', { dst: '10.0.0.5', via: {}, dev: 'veth10' }, []],
    ['over several is none', { dst: '10.0.0.5', nexthops: [], dev: 'veth10' }, []],
    ['a blackhole is none', { dst: '10.0.0.5', type: 'blackhole', dev: 'lo' }, []],
    ['of a router advertisement is none', { dst: 'fd00::5', dev: 'v', protocol: 'ra' }, []],
    ['of its prefix is none', { dst: 'fd00::5', dev: 'v', protocol: 'kernel' }, []],
    ['that expires is none', { dst: 'fd00::5', dev: 'v', expires: 9 }, []],
    ['of a redirect is none', { dst: '10.0.0.5', dev: 'v', protocol: 'redirect' }, []],
    ['of an own address', { dst: '10.0.0.5', dev: 'v', protocol: 'kernel' }, ['v']],
  ];
  it.each(cases)('%s', (_about, entry, expected) => {
    const found = [...hostRoutes([entry as Record<string, unknown>]).values()];
    expect(found.flatMap((devices) => [...devices])).toEqual(expected);
  });

  const routes = (four: unknown, six: unknown = []) =>
    new Routes(async (_program, args) => ({
      code: 0,
      stdout: JSON.stringify(args.includes('-4') ? four : six),
      stderr: '',
    }));

  it('of each address bear witness for themselves', async () => {
    const heard = await routes(
      [{ dst: '10.0.0.5', dev: 'veth10' }],
      [{ dst: 'fd00::5', dev: 'veth11' }],
    ).hear([API], VETHS);
    expect(said(heard)).toEqual([
      ['the route to 10.0.0.5', 10],
      ['the route to fd00::5', 11],
    ]);
  });

  it('that lead to no veth say so', async () => {
    const heard = await routes([{ dst: '10.0.0.5', dev: 'ipvl0' }]).hear([API], VETHS);
    expect(said(heard)).toEqual([]);
    expect(heard.doubts.get('shop/api')).toBe(
      'the route to 10.0.0.5 leads to ipvl0, which is no veth of a pod',
    );
  });

  it('that cannot be read are a problem, and a node without IPv6 is none', async () => {
    const failing = (stderr: string) => new Routes(async () => ({ code: 1, stdout: '', stderr }));
    expect((await failing('killed').hear([API], VETHS)).problem).toBe('ip -4 route: killed');
    const none = await failing('RTNETLINK answers: Operation not supported').hear([API], VETHS);
    expect([none.problem, said(none)]).toEqual([null, []]);
  });
});

it('veths are those whose other end is in another namespace', async () => {
  const info = (kind: string) => ({ linkinfo: { info_kind: kind } });
  const links = [
    { ifname: 'lo', ifindex: 1 },
    { ifname: 'veth10', ifindex: 10, link_netnsid: 3, ...info('veth') },
    { ifname: 'here', ifindex: 11, link: 'too', ...info('veth') },
    { ifname: 'vlan', ifindex: 12, link_netnsid: 3, ...info('vlan') },
  ];
  const result = await readVeths(async () => ({
    code: 0,
    stdout: JSON.stringify(links),
    stderr: '',
  }));
  expect(result).toEqual({ kind: 'veths', veths: [{ ifindex: 10, name: 'veth10', netnsId: 3 }] });
});

describe('the pod of a process is that of its cgroup', () => {
  const SLICES = '/kubepods.slice/kubepods-burstable.slice';
  const slice = `kubepods-burstable-pod${UID.replaceAll('-', '_')}.slice`;
  const guaranteed = slice.replace('burstable-', '');
  it.each([
    ['version 2, systemd', `0::${SLICES}/${slice}/cri-containerd-1.scope`, UID],
    ['version 2, systemd, guaranteed', `0::/kubepods.slice/${guaranteed}/cri-1.scope`, UID],
    ['version 2, cgroupfs', `0::/kubepods/besteffort/pod${UID}/abc`, UID],
    ['version 2, cgroupfs, guaranteed', `0::/kubepods/pod${UID}/abc`, UID],
    [
      'version 1, cgroupfs',
      `4:memory:/kubepods/pod${UID}/abc\n3:cpu,cpuacct:/kubepods/pod${UID}/abc`,
      UID,
    ],
    [
      'version 1, systemd',
      `4:memory:${SLICES}/${slice}/docker-1.scope\n1:name=systemd:${SLICES}/${slice}/docker-1.scope`,
      UID,
    ],
    [
      'both versions',
      `1:name=systemd:/kubepods/pod${UID}/a\n0::/system.slice/containerd.service`,
      UID,
    ],
    [
      'of kind, systemd',
      `0::/kubelet.slice/kubelet-kubepods.slice/kubelet-${slice}/cri-1.scope`,
      UID,
    ],
    ['of kind, cgroupfs', `0::/kubelet/kubepods/burstable/pod${UID}/abc`, UID],
    ['from a cgroup namespace, of the same class', `0::/../../pod${UID}/abc`, UID],
    ['from a cgroup namespace, of another class', `0::/../../../besteffort/pod${UID}/abc`, UID],
    ['from a cgroup namespace, systemd', `0::/../../${slice}/cri-1.scope`, UID],
    [
      'from a cgroup namespace, systemd, of another class',
      `0::/../../../kubepods-burstable.slice/${slice}/cri-1.scope`,
      UID,
    ],
    ['from a cgroup namespace above', `0::/../../../../kubepods/pod${UID}/abc`, UID],
    ['static pod', `0::/kubepods/pod${UID.replaceAll('-', '')}/a`, UID.replaceAll('-', '')],
    ['a group that it made below its own', `0::/kubepods/pod${UID}/abc/pod${OTHER}`, UID],
    ['no pod', '0::/system.slice/containerd.service', null],
    ['a name that only looks so', `0::/xpod${UID}/a`, null],
    ['another program’s slice that ends so', `0::/evil-pod${UID}.slice/a`, null],
    ['a user’s own group', `0::/user.slice/user-1000.slice/user@1000.service/pod${UID}/a`, null],
    [
      'a user’s own, named as the kubelet’s',
      `0::/user.slice/user-1000.slice/kubepods/pod${UID}/a`,
      null,
    ],
    ['a container of Docker', `0::/docker/0123456789abcdef/pod${UID}`, null],
    ['a container of Docker, systemd', `0::/system.slice/docker-0123.scope/${slice}`, null],
    ['a container of Docker, from another', `0::/../0123456789abcdef/pod${UID}`, null],
    ['a container of Podman', `4:pids:/machine.slice/libpod-0123.scope/pod${UID}`, null],
    ['a name that only begins as the kubelet’s', `0::/kubeletd/pod${UID}`, null],
    ['a folder between that is not the kubelet’s', `0::/kubepods/other/pod${UID}`, null],
    ['two in two hierarchies', `4:cpu:/pod${UID}/a\n3:pids:/pod${OTHER}/a`, null],
    ['nothing', '', null],
  ])('%s', (_about, text, expected) => {
    expect(podUidOf(text)).toBe(expected);
  });
});

describe('processes', () => {
  const folder = (): string => {
    const path = mkdtempSync(join(tmpdir(), 'sallyport-proc-'));
    onTestFinished(() => rmSync(path, { recursive: true, force: true }));
    return path;
  };
  const process = (proc: string, pid: number, uid: string): void => {
    rmSync(join(proc, String(pid)), { recursive: true, force: true });
    mkdirSync(join(proc, String(pid)));
    writeFileSync(join(proc, String(pid), 'cgroup'), `0::/kubepods/pod${uid}/c\n`);
    writeFileSync(join(proc, String(pid), 'stat'), `${pid} (a) b) S ${'1 '.repeat(18)}${pid}7 0\n`);
  };

  it('lead to the veth of their namespace', async () => {
    const proc = folder();
    process(proc, 70, UID);
    process(proc, 71, OTHER);
    const netns = { ofProcess: (pid: number) => (pid === 70 ? 4 : 3), close: () => {} };
    const witness = new PodProcesses({ folder: proc, openNetnsIds: () => netns });
    const other = { ...API, name: 'shop/other', podUid: OTHER };
    const heard = await witness.hear([API, other, { ...API, name: 'a/b', podUid: null }], VETHS);
    expect(said(heard)).toEqual([['its processes', 11]]);
    expect(said(heard, 'shop/other')).toEqual([['its processes', 10]]);
    expect(said(heard, 'a/b')).toEqual([]);
    expect(heard.silence).toMatch(/^none of its processes is seen/);
  });

  it('of no veth say so; of none nothing is said', async () => {
    const proc = folder();
    process(proc, 70, UID);
    const netns = { ofProcess: () => null, close: () => {} };
    const witness = new PodProcesses({ folder: proc, openNetnsIds: () => netns });
    const heard = await witness.hear([API], VETHS);
    expect([said(heard), heard.doubts.get('shop/api')]).toEqual([
      [],
      expect.stringMatching(/^no veth leads to .*macvlan/),
    ]);
    const none = await witness.hear([{ ...API, podUid: OTHER }], VETHS);
    // Whoever sees nobody behind a veth may see nobody at all: without the process ids of the host.
    expect([said(none), none.doubts.size, none.silence]).toEqual([[], 0, null]);
  });

  it('whose number became that of another pod’s process while it was asked for are not believed', async () => {
    const proc = folder();
    process(proc, 70, UID);
    const netns = {
      ofProcess: () => {
        process(proc, 70, OTHER);
        return 4;
      },
      close: () => {},
    };
    const witness = new PodProcesses({ folder: proc, openNetnsIds: () => netns });
    expect(said(await witness.hear([API], VETHS))).toEqual([]);
  });

  it('that cannot be listed are a problem', async () => {
    const openNetnsIds = () => ({ ofProcess: () => null, close: () => {} });
    const witness = new PodProcesses({ folder: '/nowhere', openNetnsIds });
    expect((await witness.hear([API], VETHS)).problem).toMatch(/^processes of pods: ENOENT/);
  });
});

describe('the kernel’s answer to whose namespace it is', () => {
  const answer = (type: number, sequence: number, attribute: number, id: number): Buffer => {
    const bytes = Buffer.alloc(28);
    bytes.writeUInt32LE(28, 0);
    bytes.writeUInt16LE(type, 4);
    bytes.writeUInt32LE(sequence, 8);
    bytes.writeUInt16LE(8, 20);
    bytes.writeUInt16LE(attribute, 22);
    bytes.writeInt32LE(id, 24);
    return bytes;
  };
  it.each([
    ['its number', answer(88, 7, 1, 5), 5],
    ['no number', answer(88, 7, 1, -1), null],
    ['of another question', answer(88, 6, 1, 5), null],
    ['an error', answer(2, 7, 1, 5), null],
    ['another attribute', answer(88, 7, 3, 5), null],
    ['cut', answer(88, 7, 1, 5).subarray(0, 24), null],
    ['nothing', Buffer.alloc(0), null],
  ])('%s', (_about, bytes, expected) => {
    expect(answeredId(bytes, 7)).toBe(expected);
  });
});

const RESULT = {
  cniVersion: '1.0.0',
  interfaces: [
    { name: 'cni0', mac: '02:00:00:00:00:01' },
    { name: 'veth10', mac: '02:00:00:00:00:02' },
    { name: 'eth0', mac: '02:00:00:00:00:03', sandbox: '/run/netns/cni-1' },
  ],
  ips: [
    { address: '10.0.0.5/24', gateway: '10.0.0.1', interface: 2 },
    { address: 'fd00::5/64', gateway: 'fd00::1', interface: 2 },
  ],
};
const cached = (result: object, uid: string | null, name = 'api') => ({
  kind: 'cniCacheV1',
  containerId: 'c1',
  cniArgs: [
    ['IgnoreUnknown', '1'],
    ['K8S_POD_NAMESPACE', 'shop'],
    ['K8S_POD_NAME', name],
    ...(uid === null ? [] : [['K8S_POD_UID', uid]]),
  ],
  result,
});

describe('a CNI result', () => {
  it('is that of libcni’s cache, or a bare one', () => {
    const ips = ['10.0.0.5', 'fd00::5'];
    const hostInterfaces = ['cni0', 'veth10'];
    expect(parseCniResult(JSON.stringify(cached(RESULT, UID)))).toEqual({
      ...{ podUid: UID, podName: 'shop/api', ips, hostInterfaces },
    });
    expect(parseCniResult(JSON.stringify(RESULT))).toEqual({
      ...{ podUid: null, podName: null, ips, hostInterfaces },
    });
  });

  it.each(['', '[]', '{', 'null', '{"ips":[{"address":7}]}', '{"result":{"interfaces":[]}}'])(
    'is none: %s',
    (text) => expect(parseCniResult(text)).toBeNull(),
  );
});

describe('CNI results', () => {
  class Folder {
    readonly path = mkdtempSync(join(tmpdir(), 'sallyport-cni-'));
    readonly witness: CniResults;
    #seconds = 1_000_000;

    constructor(more: Partial<CniResultsOptions> = {}) {
      onTestFinished(() => rmSync(this.path, { recursive: true, force: true }));
      this.witness = new CniResults({
        ...{ folder: this.path, fileBytesMax: 10_000, fileCountMax: 10 },
        ...{ ownerUid: process.getuid?.() ?? 0, ...more },
      });
    }

    /** Each is newer than the one before. */
    write(name: string, value: unknown, mode = 0o600): string {
      const path = join(this.path, name);
      writeFileSync(path, JSON.stringify(value), { mode });
      chmodSync(path, mode);
      this.#seconds += 10;
      utimesSync(path, this.#seconds, this.#seconds);
      return path;
    }
  }
  const withInterface = (name: string) => ({ ...RESULT, interfaces: [{ name }] });
  it('tell the veth of an address', async () => {
    const folder = new Folder();
    folder.write('pods-c1-eth0', cached(RESULT, UID));
    const heard = await folder.witness.hear([API], VETHS);
    expect(said(heard)).toEqual([
      ['the CNI result of 10.0.0.5', 10],
      ['the CNI result of fd00::5', 10],
    ]);
  });

  it('of a container that is no more do not count beside a newer one of the address', async () => {
    const folder = new Folder();
    folder.write('pods-c1-eth0', cached(withInterface('veth10'), OTHER, 'gone'));
    folder.write('pods-c2-eth0', cached(withInterface('veth11'), UID));
    expect(said(await folder.witness.hear([API], VETHS)).map(([, one]) => one)).toEqual([11, 11]);
  });

  it('of another pod, and newer, deny the address to its former holder', async () => {
    const folder = new Folder();
    folder.write('pods-c1-eth0', cached(withInterface('veth10'), UID));
    expect((await folder.witness.hear([API], VETHS)).denials?.size).toBe(0);
    folder.write('pods-c2-eth0', cached(withInterface('veth11'), OTHER, 'new'));
    const heard = await folder.witness.hear([API, { ...API, name: 'a/b', podUid: null }], VETHS);
    expect([...(heard.denials ?? [])]).toEqual([
      ['shop/api', 'by its CNI result fd00::5 is now of shop/new'],
    ]);
  });

  describe('of which a pod that is asked for has one', () => {
    const web: AskedPod = { name: 'shop/web', ips: ['10.0.0.6'], podUid: OTHER };
    const absent = async (folder: Folder, pods: readonly AskedPod[] = [API, web]) => [
      ...((await folder.witness.hear(pods, VETHS)).absences?.keys() ?? []),
    ];
    const ofWeb = (name: string) => ({
      ...cached({ ...withInterface(name), ips: [{ address: '10.0.0.6/24' }] }, OTHER, 'web'),
    });

    it('are told to be absent of others, from then on', async () => {
      const folder = new Folder();
      expect(await absent(folder)).toEqual([]);
      const own = folder.write('pods-c1-eth0', cached(RESULT, UID));
      expect(await absent(folder)).toEqual(['shop/web']);
      expect(await absent(folder, [{ ...web, podUid: null }])).toEqual([]);
      folder.write('pods-c2-eth0', ofWeb('veth11'));
      expect(await absent(folder)).toEqual([]);
      rmSync(own);
      expect(await absent(folder)).toEqual(['shop/api']);
    });

    it('that of a former container is none: its interface has gone, and its address is given again', async () => {
      const folder = new Folder();
      folder.write('pods-c1-eth0', cached(RESULT, UID));
      folder.write('pods-c2-eth0', ofWeb('veth99'));
      expect(await absent(folder)).toEqual(['shop/web']);
    });

    it.each([
      ['of pods that nobody asks for', cached(RESULT, OTHER, 'gone')],
      ['that name no interface of the node', cached({ ips: RESULT.ips }, UID)],
      ['whose interfaces are not there', cached(withInterface('veth99'), UID)],
    ])('there are none where only those are %s', async (_about, value) => {
      const folder = new Folder();
      folder.write('pods-c1-eth0', value);
      expect(await absent(folder)).toEqual([]);
    });
  });

  it('do not count when a newer one has the interface', async () => {
    const folder = new Folder();
    folder.write('pods-c1-eth0', cached(withInterface('veth10'), UID));
    const ips = [{ address: '10.0.0.9/24' }];
    folder.write('pods-c2-eth0', cached({ ...withInterface('veth10'), ips }, OTHER, 'new'));
    expect(said(await folder.witness.hear([API], VETHS))).toEqual([]);
  });

  it.each([
    ['of another pod', cached(RESULT, OTHER, 'api'), API],
    ['of another name, where no UID is known', cached(RESULT, null, 'other'), API],
    ['whose interfaces are not there', cached(withInterface('veth99'), UID), API],
    ['without interfaces', cached({ ips: RESULT.ips }, UID), API],
  ])('%s say nothing', async (_about, value, pod) => {
    const folder = new Folder();
    folder.write('pods-c1-eth0', value);
    const heard = await folder.witness.hear([pod], VETHS);
    expect([said(heard), heard.problem]).toEqual([[], null]);
  });

  it('that somebody else could have written are not read', async () => {
    const folder = new Folder();
    folder.write('pods-c1-eth0', cached(RESULT, UID), 0o622);
    expect(said(await folder.witness.hear([API], VETHS))).toEqual([]);
    folder.write('pods-c1-eth0', cached(RESULT, UID));
    chmodSync(folder.path, 0o777);
    const heard = await folder.witness.hear([API], VETHS);
    expect([said(heard), heard.problem]).toEqual([[], expect.stringContaining('not root')]);
  });

  it('of another user are not read', async () => {
    const folder = new Folder({ ownerUid: 4242 });
    folder.write('pods-c1-eth0', cached(RESULT, UID));
    expect(said(await folder.witness.hear([API], VETHS))).toEqual([]);
  });

  it('are within bounds', async () => {
    const large = new Folder({ fileBytesMax: 100 });
    large.write('pods-c1-eth0', cached(RESULT, UID));
    expect(said(await large.witness.hear([API], VETHS))).toEqual([]);
    const many = new Folder({ fileCountMax: 1 });
    for (const name of ['a', 'b']) many.write(name, cached(RESULT, UID));
    const heard = await many.witness.hear([API], VETHS);
    expect(heard.problem).toContain('2 files, more than limits.cniResultCountMax');
  });

  it('are none where there is no folder', async () => {
    const options = { folder: '/nowhere/at/all', fileBytesMax: 1, fileCountMax: 1 };
    const heard = await new CniResults(options).hear([API], VETHS);
    expect([said(heard), heard.problem]).toEqual([[], null]);
  });

  it('are read again when they are others', async () => {
    const folder = new Folder();
    folder.write('pods-c1-eth0', cached(withInterface('veth10'), UID));
    await folder.witness.hear([API], VETHS);
    folder.write('pods-c1-eth0', cached(withInterface('veth11'), UID));
    expect(said(await folder.witness.hear([API], VETHS)).map(([, one]) => one)).toEqual([11, 11]);
    rmSync(join(folder.path, 'pods-c1-eth0'));
    expect(said(await folder.witness.hear([API], VETHS))).toEqual([]);
  });
});
