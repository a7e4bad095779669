/** `services/layout.ts` writes and reads what `bpf/services/layout.h` lays out: the compiled object is the judge. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Port } from '../../../src/model/identity.ts';
import {
  MARK_MAGIC_MASK,
  MARK_PROXY_EGRESS,
  MARK_PROXY_INGRESS,
} from '../../../src/redirect/layout.ts';
import * as layout from '../../../src/redirect/services/layout.ts';
import { frontend, ip } from '../../support/service_frontends.ts';
import { SERVICES_OBJECT } from '../root/service_scene.ts';
import { readStructs } from './btf.ts';

const text = (name: string): string =>
  readFileSync(
    fileURLToPath(new URL(`../../../src/redirect/bpf/${name}`, import.meta.url)),
    'utf8',
  );
const HEADER = text('services/layout.h');
const structs = readStructs(SERVICES_OBJECT);

/** The bytes of each field, by its name in C. */
function fieldsOf(name: string, bytes: Buffer): Record<string, string> {
  const struct = structs.get(name);
  if (struct === undefined) throw new Error(`the object knows no struct ${name}`);
  expect(bytes.length).toBe(struct.size);
  return Object.fromEntries(
    [...struct.fields].map(([field, { offset, size }]) => [
      field,
      bytes.subarray(offset, offset + size).toString('hex'),
    ]),
  );
}

const number = (value: number): string => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString('hex');
};

const long = (value: bigint): string => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.toString('hex');
};

const IP4 = `0a010203${'00'.repeat(12)}`;
const IP6 = `fd00${'00'.repeat(13)}05`;
const present = (bytes: Buffer | null): Buffer => bytes ?? Buffer.alloc(0);
const udp6 = frontend({ address: null, port: 0x1234, family: 6, protocol: 'UDP' });
const settings = { group: 0x1122334455667788n, affinityMs: 9_000, isHashed: true };

const cases: readonly (readonly [name: string, bytes: Buffer, fields: Record<string, string>])[] = [
  [
    'frontend_key',
    present(layout.encodeFrontendKey(frontend({ address: '10.1.2.3', port: 0x1234 }))),
    { place: `${IP4}12340406`, scope: number(layout.SCOPE_ADDRESS) },
  ],
  [
    'frontend_key',
    present(layout.encodeFrontendKey(udp6)),
    { place: `${'00'.repeat(16)}12340611`, scope: number(layout.SCOPE_NODE) },
  ],
  [
    'frontend_value',
    layout.encodeFrontend(7, 8, settings),
    {
      ...{ table: number(7), count: number(8), group: long(settings.group) },
      ...{ affinity_ms: number(9_000), flags: number(layout.FRONTEND_HASHED) },
    },
  ],
  ['slot_key', layout.encodeSlotKey(7, 8), { table: number(7), slot: number(8) }],
  ['slot_value', layout.encodeSlot(7, 8, 9)[1], { backend: number(9) }],
  ['backend_key', layout.encodeBackendKey(9), { backend: number(9) }],
  [
    'place',
    layout.encodeBackend(ip('fd00::5'), 0x1234 as Port),
    { ip: IP6, port: '1234', family: '06', protocol: '00' },
  ],
  ['node_address_key', layout.encodeNodeAddress(ip('10.1.2.3')), { ip: IP4, family: number(4) }],
  ['settings', layout.encodeServiceSettings(77n), { host_netns: long(77n) }],
];

describe('what is written', () => {
  it.each(cases)('struct %s', (name, bytes, fields) => {
    expect(fieldsOf(name, bytes)).toEqual(fields);
  });

  it('has no key for a protocol without a hook', () => {
    const sctp = frontend({ address: '10.1.2.3', port: 1, protocol: 'SCTP' });
    expect(layout.encodeFrontendKey(sctp)).toBeNull();
  });
});

it('what is written is read again', () => {
  expect(layout.decodeFrontend(layout.encodeFrontend(7, 8, settings))).toEqual({
    ...{ table: 7, count: 8 },
  });
  expect(layout.decodeSlot(layout.encodeSlot(7, 8, 9))).toEqual({ table: 7, slot: 8, backend: 9 });
  expect(layout.decodeBackendKey(layout.encodeBackendKey(9))).toBe(9);
});

describe('constants', () => {
  const defines = (source: string): ReadonlyMap<string, number> =>
    new Map(
      [...source.matchAll(/^#define (\w+) (0x[0-9A-Fa-f]+|\d+)/gm)].map(([, name, value]) => [
        name as string,
        Number(value),
      ]),
    );

  const { SERVICES_LAYOUT_VERSION, SCOPE_ADDRESS, SCOPE_NODE, FRONTEND_HASHED } = layout;

  it.each(Object.entries({ SERVICES_LAYOUT_VERSION, SCOPE_ADDRESS, SCOPE_NODE, FRONTEND_HASHED }))(
    '%s',
    (name, value) => {
      expect(value).toBe(defines(HEADER).get(name));
    },
  );

  it.each(Object.entries({ MARK_MAGIC_MASK, MARK_PROXY_INGRESS, MARK_PROXY_EGRESS }))(
    '%s is that of the redirect',
    (name, value) => {
      expect(defines(text('services.bpf.c')).get(name)).toBe(value);
    },
  );

  it('counters have one order', () => {
    const listed = /enum counter \{([\s\S]*?)\};/.exec(HEADER)?.[1] ?? '';
    const names = [...listed.matchAll(/^\tCOUNTER_(\w+)/gm)].map(([, name]) => name as string);
    expect(names.pop()).toBe('COUNT');
    expect(names.map((name) => name.toLowerCase().replaceAll('_', '-'))).toEqual([
      ...layout.SERVICE_COUNTERS,
    ]);
  });
});
