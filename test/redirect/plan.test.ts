/** Who is who on the node, in the kernel's tables. */
import { describe, expect, it } from 'vitest';
import { parsePrefix } from '../../src/model/address.ts';
import type { Identity } from '../../src/model/identity.ts';
import {
  ADDRESS_IS_NODE,
  INTERFACE_IS_BRIDGED,
  INTERFACE_IS_PORT,
  identityCheck,
} from '../../src/redirect/layout.ts';
import {
  entriesOf,
  type PlanInput,
  type PlannedEndpoint,
  planOf,
  type TablePlan,
} from '../../src/redirect/plan.ts';
import { KernelModel } from '../support/kernel_model.ts';

const API = endpoint('shop/api', 5, 'lxc_api', ['10.0.0.5', 'fd00::5'], 1005);
const WEB = endpoint('shop/web', 6, 'lxc_web', ['10.0.0.6'], 1006);

const INPUT: PlanInput = {
  endpoints: [API, WEB],
  policies: [{ areas: [] }],
  slots: [],
  prefixes: [
    { prefix: prefix('10.0.0.0/8'), identity: 16777300 as Identity },
    { prefix: prefix('10.0.0.6/32'), identity: 77 as Identity },
    { prefix: prefix('10.1.0.9/32'), identity: 2000 as Identity },
    { prefix: prefix('192.0.2.1/32'), identity: 6 as Identity },
  ],
  labelsOf: (identity) => [`k8s:number=${identity}`],
  interfaces: new Map([
    ['lxc_api', 10],
    ['lxc_web', 11],
    ['eth0', 2],
  ]),
  ports: new Set(),
  bare: new Set(),
  masters: new Map(),
  bridges: new Set(),
  linkAddresses: new Map(),
  otherBridges: [],
  isGuarded: false,
  claims: [],
  uplinks: ['eth0'],
  hostAddresses: ['10.0.0.1', '192.0.2.1', '10.0.0.5'],
  isHostJudged: false,
  behind: [],
};

describe('a plan', () => {
  it('says which addresses are a node’s, by their labels: their numbers may be any', () => {
    const labels: Record<number, readonly string[]> = {
      2000: ['k8s:zone=a', 'reserved:remote-node'],
    };
    const plan = planOf({ ...INPUT, labelsOf: (identity) => labels[identity] ?? [] });
    const nodes = [...entriesOf(plan, 'addresses', 1)]
      .filter(([, value]) => value.readUInt8(7) === ADDRESS_IS_NODE)
      .map(([, value]) => value.readUInt32LE(0));
    expect(nodes.sort()).toEqual([1, 2000, 6]);
  });

  const side = (ip: string) => {
    const { identity, endpoint: id } = KernelModel.of(planOf(INPUT)).side(ip);
    return [identity, id];
  };

  it.each([
    ['an endpoint here has its own identity and number', '10.0.0.5', [1005, 10]],
    ['in both families', 'fd00::5', [1005, 10]],
    ['also where a prefix says something else', '10.0.0.6', [1006, 11]],
    ['an endpoint elsewhere has no number', '10.1.0.9', [2000, 0]],
    ['a CIDR is the longest that covers the address', '10.200.0.1', [16777300, 0]],
    ['an address of the node is the host', '10.0.0.1', [1, 0]],
    ['unless the file says otherwise', '192.0.2.1', [6, 0]],
    ['what nobody names is the world', '203.0.113.1', [2, 0]],
    ['in IPv6, too', '2001:db8::1', [2, 0]],
  ])('%s', (_about, ip, expected) => {
    expect(side(ip)).toEqual(expected);
  });

  it('tells with each identity the check of its labels, as the proxy computes it', () => {
    const model = KernelModel.of(planOf(INPUT));
    expect(model.side('10.0.0.5').check).toBe(identityCheck(['k8s:number=1005']));
    expect(model.side('203.0.113.1').check).toBe(identityCheck(['k8s:number=2']));
  });

  it('knows interfaces by index, and tells which are not there', () => {
    const interfaces = new Map([
      ['lxc_api', 10],
      ['eth0', 2],
    ]);
    const plan = planOf({ ...INPUT, interfaces });
    const model = KernelModel.of(plan);
    expect([model.endpointAt(10), model.endpointAt(2), model.endpointAt(11)]).toEqual([
      10,
      null,
      undefined,
    ]);
    expect(plan.missingInterfaces).toEqual(['lxc_web']);
  });

  it('numbers an endpoint by its interface, whoever comes before it', () => {
    const [api] = INPUT.endpoints;
    const first = { ...(api as PlannedEndpoint), name: 'a/first', interface: 'lxc_first', ips: [] };
    const plan = planOf({ ...INPUT, endpoints: [{ ...first, endpointId: 5 }, ...INPUT.endpoints] });
    expect(plan.input.endpoints.map(({ endpointId }) => endpointId).slice(1)).toEqual(
      planOf(INPUT).input.endpoints.map(({ endpointId }) => endpointId),
    );
    expect(new Set(plan.input.endpoints.map(({ endpointId }) => endpointId)).size).toBe(3);
  });

  it.each([
    [['lxc*'], ['lxc_new', 'lxc_old']],
    [['*_new'], ['lxc_new']],
    [['l*n*w'], ['lxc_new']],
    [['lxc_new'], ['lxc_new']],
    [['lxc'], []],
    [['*'], ['lxc_new', 'lxc_old', 'veth7']],
    [
      ['veth7', '*old'],
      ['lxc_old', 'veth7'],
    ],
  ])('claims by %j the interfaces %j that nobody names', (claims, expected) => {
    const others = [
      ['lo', 1],
      ['lxc_new', 20],
      ['lxc_old', 21],
      ['veth7', 22],
      ['wg0', 23],
    ] as const;
    const interfaces = new Map([...INPUT.interfaces, ...others]);
    const { claimed } = planOf({ ...INPUT, claims, interfaces, bare: new Set(['wg0']) });
    const names = others.filter(([, ifindex]) => claimed.includes(ifindex)).map(([name]) => name);
    expect(names).toEqual(expected);
    expect(claimed).toHaveLength(expected.length);
  });

  it('says which interfaces are of others, but for bridges behind which our pods are, or may be', () => {
    const interfaces = new Map([
      ...INPUT.interfaces,
      ...([
        ['lo', 1],
        ['wg0', 19],
        ['veth1', 20],
        ['veth2', 21],
        ['cni0', 22],
        ['docker0', 23],
        ['virbr0', 24],
        ['tap1', 25],
        ['empty', 26],
        ['br_up', 27],
      ] as const),
    ]);
    const masters = new Map([
      ['veth1', 'cni0'],
      ['veth2', 'docker0'],
      ['tap1', 'virbr0'],
      ['lxc_web', 'br_up'],
      ['eth0', 'br_up'],
    ]);
    const plan = planOf({
      ...{ ...INPUT, interfaces, masters, isGuarded: true, claims: ['veth*'] },
      ...{ bare: new Set(['wg0']), otherBridges: ['docker0'] },
      bridges: new Set(['cni0', 'docker0', 'virbr0', 'empty', 'br_up']),
    });
    const others = (given: TablePlan): string[] => {
      const values = new Map(
        [...entriesOf(given, 'interfaces', 7)].map(([key, value]) => [
          key.readUInt32LE(4),
          value.readUInt32LE(0),
        ]),
      );
      return [...interfaces].flatMap(([name, ifindex]) => (values.get(ifindex) === 3 ? name : []));
    };
    expect(others(plan)).toEqual(['lo', 'wg0', 'veth2', 'docker0', 'virbr0', 'tap1', 'br_up']);
    expect([plan.claimed, plan.released]).toEqual([[20], [21]]);
    const unguarded = planOf({ ...plan.input, isGuarded: false });
    expect(others(unguarded)).toEqual([]);
    expect(unguarded.digest).not.toBe(plan.digest);
  });

  it('tells of a port whose it is, and of one of a bridge its own link address', () => {
    const own = Buffer.from('7a0000000001', 'hex');
    const ofPort = (more: Partial<PlanInput>): readonly (number | string)[] => {
      const input = { ...INPUT, ports: new Set(['lxc_api']), ...more };
      const [, value] = [...entriesOf(planOf(input), 'interfaces', 7)].find(
        ([key]) => key.readUInt32LE(4) === 10,
      ) ?? [null, Buffer.alloc(0)];
      return [value.readUInt32LE(16), value.readUInt32LE(20), value.toString('hex', 24)];
    };
    const nobody = '00'.repeat(8);
    const of = {
      interfaces: new Map([...INPUT.interfaces, ['cni0', 22]]),
      masters: new Map([['lxc_api', 'cni0']]),
      linkAddresses: new Map([['lxc_api', own]]),
    };
    const isPort = INTERFACE_IS_PORT;
    const bridged = INTERFACE_IS_PORT | INTERFACE_IS_BRIDGED;
    expect(ofPort({ ports: new Set() })).toEqual([0, 0, nobody]);
    expect(ofPort({})).toEqual([isPort, 0, nobody]);
    expect(ofPort(of)).toEqual([isPort, 22, nobody]);
    const bridges = new Set(['cni0']);
    expect(ofPort({ ...of, bridges })).toEqual([bridged, 22, '7a00000000010000']);
    expect(ofPort({ ...of, bridges, linkAddresses: new Map() })).toEqual([isPort, 22, nobody]);
  });

  it('takes no interface whose packets the programs cannot read', () => {
    const plan = planOf({ ...INPUT, bare: new Set(['eth0', 'lxc_web']) });
    expect(plan.unreadableInterfaces).toEqual(['eth0', 'lxc_web']);
    expect([...plan.attached.keys()]).toEqual([10]);
  });

  it('is the same in any order, and another one when anything differs', () => {
    const { digest } = planOf(INPUT);
    expect(planOf({ ...INPUT, endpoints: [WEB, API] }).digest).toBe(digest);
    expect(planOf({ ...INPUT, prefixes: INPUT.prefixes.toReversed() }).digest).toBe(digest);
    for (const change of [
      { isHostJudged: true },
      { hostAddresses: [] },
      { uplinks: [] },
      { endpoints: [API] },
      { labelsOf: () => [] },
    ]) {
      expect(planOf({ ...INPUT, ...change }).digest).not.toBe(digest);
    }
  });
});

function endpoint(name: string, id: number, host: string, ips: readonly string[], number: number) {
  return {
    name,
    endpointId: id,
    interface: host,
    ips,
    identity: number as Identity,
    egressPolicy: 1,
    ingressPolicy: 1,
  };
}

function prefix(text: string) {
  const parsed = parsePrefix(text, { allowBare: false, allowHostBits: false });
  if (parsed === null) throw new Error(text);
  return parsed;
}
