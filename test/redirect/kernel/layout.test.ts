/** `redirect/layout.ts` writes and reads what `bpf/layout.h` lays out: the compiled object is the judge. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseIp, parsePrefix, type SocketAddress } from '../../../src/model/address.ts';
import type { Identity, Port } from '../../../src/model/identity.ts';
import * as layout from '../../../src/redirect/layout.ts';
import { readStructs, type StructLayout } from './btf.ts';
import { OBJECT } from './lab.ts';

const HEADER = readFileSync(
  fileURLToPath(new URL('../../../src/redirect/bpf/layout.h', import.meta.url)),
  'utf8',
);
const structs = readStructs(OBJECT);
const SIDE = { identity: 0x01020304 as Identity, check: 0x0506070811223344n, endpoint: 0x090a0b0c };
const PAIR = { identity: SIDE.identity, port: 0x1234 as Port };
const OWN = { ips: ['fd00::5', '10.1.2.3', '10.9.9.9'] };
const PREFIX6 = parsePrefix('2001:db8::/32', { allowBare: false, allowHostBits: false });

function struct(name: string): StructLayout {
  const found = structs.get(name);
  if (found === undefined) throw new Error(`the object knows no struct ${name}`);
  return found;
}

/** The bytes of each field, by its name in C. */
function fieldsOf(name: string, bytes: Buffer): Record<string, string> {
  const { size, fields } = struct(name);
  expect(bytes.length).toBe(size);
  return Object.fromEntries(
    [...fields].map(([field, at]) => [
      field,
      bytes.subarray(at.offset, at.offset + at.size).toString('hex'),
    ]),
  );
}

const number = (value: number): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes.toString('hex');
};

const long = (value: bigint): string => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.toString('hex');
};

const socketAddress = (ip: string, port: number): SocketAddress =>
  ({ ip, family: ip.includes(':') ? 6 : 4, port }) as SocketAddress;

const cases: readonly (readonly [name: string, bytes: Buffer, fields: Record<string, string>])[] = [
  [
    'tuple',
    layout.encodeTuple(socketAddress('10.1.2.3', 0x1234), socketAddress('10.4.5.6', 0x5678)),
    {
      source: `0a010203${'00'.repeat(12)}`,
      destination: `0a040506${'00'.repeat(12)}`,
      ...{
        source_port: '1234',
        destination_port: '5678',
        family: '04',
        protocol: '06',
        pad: '0000',
      },
    },
  ],
  [
    'settings',
    layout.encodeSettings({
      ...{ generation: 77, isHostJudged: true, isHostRedirected: true, isGuarded: true },
    }),
    { generation: number(77), flags: number(7) },
  ],
  [
    'settings',
    layout.withNextEpoch(
      layout.withNextEpoch(layout.encodeSettings({ generation: 77, isHostJudged: true })),
    ),
    { generation: number(77), flags: number(0x209) },
  ],
  [
    'behind_key',
    layout.encodeBehindKey(77, {
      ...{ address: parseIp('fd00::5'), family: 6, port: 0x1234 as Port, protocol: 17 },
    }),
    {
      ...{ generation: number(77), address: `fd00${'00'.repeat(13)}05` },
      ...{ port: '1234', family: '06', protocol: '11' },
    },
  ],
  [
    'behind_value',
    layout.encodeBehind(9, { pairs: [PAIR, PAIR], isAskedAsDialled: true, isHere: true }),
    {
      ...{ serial: number(9), count: number(2), flags: number(3), pad: number(0) },
      pairs: `${number(PAIR.identity)}12340000`.repeat(2).padEnd(32 * 16, '0'),
    },
  ],
  [
    'interface_key',
    layout.encodeInterfaceKey(77, 88),
    { generation: number(77), ifindex: number(88) },
  ],
  [
    'interface_value',
    layout.encodeInterface(99, {
      adoptsUntilNs: 0x1122334455667788n,
      port: { master: 77, bridgedAddress: Buffer.from('0a1b2c3d4e5f', 'hex') },
    }),
    {
      ...{ kind: number(1), endpoint: number(99), flags: number(3), master: number(77) },
      ...{ adopts_until_ns: long(0x1122334455667788n), address: '0a1b2c3d4e5f', pad: '0000' },
    },
  ],
  [
    'interface_value',
    layout.encodeInterface(99, { port: { master: 0, bridgedAddress: null } }),
    {
      ...{ kind: number(1), endpoint: number(99), flags: number(1), master: number(0) },
      ...{ adopts_until_ns: long(0n), address: '00'.repeat(6), pad: '0000' },
    },
  ],
  [
    'interface_value',
    layout.encodeOtherInterface(),
    {
      ...{ kind: number(3), endpoint: number(0), flags: number(0), master: number(0) },
      ...{ adopts_until_ns: long(0n), address: '00'.repeat(6), pad: '0000' },
    },
  ],
  [
    'address_key',
    layout.encodeAddressKey(77, PREFIX6 as NonNullable<typeof PREFIX6>),
    {
      ...{ prefix_length: number(64 + 32), generation: number(77), family: number(6) },
      address: `20010db8${'00'.repeat(12)}`,
    },
  ],
  [
    'address_value',
    layout.encodeAddress({ ...SIDE, endpoint: 0x0a0b0c, isNode: true }),
    {
      ...{ identity: number(SIDE.identity), check: long(SIDE.check) },
      ...{ endpoint: '0c0b0a', flags: '01' },
    },
  ],
  [
    'endpoint_key',
    layout.encodeEndpointKey(77, 99),
    { generation: number(77), endpoint: number(99) },
  ],
  [
    'endpoint_value',
    layout.encodeEndpoint({ ...SIDE, ...OWN, egressPolicy: 5, ingressPolicy: 6, isAttached: true }),
    {
      ...{ identity: number(SIDE.identity), check: long(SIDE.check) },
      ...{ egress_policy: number(5), ingress_policy: number(6), is_attached: number(1) },
      ...{ ip4: `0a010203${'00'.repeat(12)}`, ip6: `fd00${'00'.repeat(13)}05` },
    },
  ],
  [
    'port_key',
    layout.encodePortKey(77, 5, { protocol: 6, port: 0x1234, bits: 16 }),
    {
      ...{ prefix_length: number(96), generation: number(77), policy: number(5) },
      ...{ protocol: '0006', port: '1234' },
    },
  ],
  [
    'port_value',
    layout.encodePort(8, layout.VERDICT_REDIRECT),
    { slot: number(8), verdict: number(2) },
  ],
  [
    'verdict_key',
    layout.encodeVerdictKey(77, 8, SIDE.identity),
    { generation: number(77), slot: number(8), identity: number(SIDE.identity) },
  ],
  ['verdict_value', layout.encodeVerdict(layout.VERDICT_ALLOW), { verdict: number(1) }],
];

describe('what is written', () => {
  it.each(cases)('struct %s', (name, bytes, fields) => {
    expect(fieldsOf(name, bytes)).toEqual(fields);
  });
});

describe('what is read', () => {
  it('a record', () => {
    const { size, fields } = struct('record');
    expect(size).toBe(layout.RECORD_BYTES);
    const bytes = Buffer.alloc(size);
    let value = 1;
    for (const { offset } of fields.values()) bytes.writeUInt32LE(value++, offset);
    const at = (name: string): number => bytes.readUInt32LE(fields.get(name)?.offset ?? -1);
    const record = layout.decodeRecord(bytes);
    expect(record).toMatchObject({
      timeNs: BigInt(at('hold')),
      source: {
        ...{ identity: at('source_identity'), check: BigInt(at('source_check')) },
        endpoint: at('source_endpoint'),
      },
      destination: {
        ...{ identity: at('destination_identity'), check: BigInt(at('destination_check')) },
        endpoint: at('destination_endpoint'),
      },
      ...{ generation: at('generation'), ifindex: at('ifindex') },
    });
    bytes.writeUInt32LE(layout.HALF_INGRESS, fields.get('halves')?.offset ?? -1);
    expect(layout.decodeRecord(bytes)).toMatchObject({
      isEgressJudged: false,
      isIngressJudged: true,
    });
  });

  it('a refusal lies as it is decoded', () => {
    const offsets = (name: string) =>
      Object.fromEntries([...struct(name).fields].map(([field, { offset }]) => [field, offset]));
    expect(offsets('refused')).toEqual({
      ...{
        source: 0,
        destination: 16,
        counter: 32,
        destination_port: 36,
        family: 38,
        protocol: 39,
      },
    });
    expect(offsets('refusal_value')).toEqual({
      ...{ what: 0, time_ns: 40, count: 48, source_identity: 56, destination_identity: 60 },
    });
  });

  it('a seat, and whose it is', () => {
    const { fields } = struct('seat_key');
    const key = Buffer.alloc(struct('seat_key').size);
    key.writeUInt32LE(layout.HOLDER_OUTSIDE + 77, fields.get('holder')?.offset);
    key.writeUInt16LE(layout.SHARED_TABLES.turns, fields.get('table')?.offset);
    expect(layout.decodeSeatKey(key)).toEqual({ endpoint: 77, table: 'turns' });
    expect(struct('seat').fields.get('sitting')).toEqual({
      ...{ offset: 0, size: layout.SEAT_TUPLE_BYTES },
    });
    expect(struct('hold').fields.get('holder')?.offset).toBe(layout.HOLD_HOLDER_AT);
    for (const name of ['flow', 'record', 'turn', 'turn_back'])
      expect(struct(name).fields.get('hold')?.offset).toBe(0);
    const listed = /enum shared_table \{([\s\S]*?)\};/.exec(HEADER)?.[1] ?? '';
    const names = [...listed.matchAll(/^\tTABLE_(\w+)/gm)].map(([, name]) => name?.toLowerCase());
    expect(names).toEqual(Object.keys(layout.SHARED_TABLES));
    expect(Object.values(layout.SHARED_TABLES)).toEqual([1, 2, 3, 4]);
  });
});

describe('constants', () => {
  const twins = new Map<string, unknown>(Object.entries(layout));
  const defines = new Map(
    [...HEADER.matchAll(/^#define (\w+) (0x[0-9A-Fa-f]+|\d+)/gm)].map(([, name, value]) => [
      name as string,
      Number(value),
    ]),
  );
  const enumerators = new Map(
    [...HEADER.matchAll(/^\t(VERDICT_\w+|INTERFACE_\w+) = (\d+),/gm)].map(([, name, value]) => [
      name as string,
      Number(value),
    ]),
  );

  it.each([...defines.keys(), ...enumerators.keys()].filter((name) => twins.has(name)))(
    '%s',
    (name) => {
      expect(twins.get(name)).toBe(defines.get(name) ?? enumerators.get(name));
    },
  );

  it('are all known to both', () => {
    const known = [...defines.keys(), ...enumerators.keys()].filter((name) => twins.has(name));
    expect(known.length).toBeGreaterThanOrEqual(14);
  });

  it('counters have one order', () => {
    const listed = /enum counter \{([\s\S]*?)\};/.exec(HEADER)?.[1] ?? '';
    const names = [...listed.matchAll(/^\tCOUNTER_(\w+)/gm)].map(([, name]) => name as string);
    expect(names.pop()).toBe('COUNT');
    expect(names.map((name) => name.toLowerCase().replaceAll('_', '-'))).toEqual([
      ...layout.COUNTERS,
    ]);
  });
});
