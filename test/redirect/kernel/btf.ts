/** Structures and maps of a compiled object, out of the type information in it (BTF, little-endian). */
import { readFileSync } from 'node:fs';

const BTF_HEADER_BYTES = 24;
const [INT, ARRAY, STRUCT, UNION, ENUM, FUNC_PROTO, VAR, DATASEC, DECL_TAG, ENUM64] = [
  1, 3, 4, 5, 6, 13, 14, 15, 17, 19,
];
const MODIFIERS = [8, 9, 10, 11, 18]; // typedef, volatile, const, restrict, type tag

export interface StructLayout {
  readonly size: number;
  readonly fields: ReadonlyMap<string, { readonly offset: number; readonly size: number }>;
}

interface BtfType {
  readonly name: string;
  readonly kind: number;
  readonly sizeOrType: number;
  readonly members: readonly {
    readonly name: string;
    readonly type: number;
    readonly offset: number;
  }[];
  readonly elements: number;
}

export function readStructs(objectPath: string): ReadonlyMap<string, StructLayout> {
  const types = readTypes(section(readFileSync(objectPath), '.BTF'));
  const structs = types.filter(({ kind, name }) => kind === STRUCT && name !== '');
  return new Map(
    structs.map(({ name, sizeOrType, members }) => [
      name,
      {
        size: sizeOrType,
        fields: new Map(
          members.map((member) => [
            member.name,
            {
              offset: (member.offset & 0xff_ffff) / 8,
              // Of a bit field, its bits stand above the offset.
              size:
                member.offset >>> 24 === 0
                  ? sizeOf(types, member.type)
                  : (member.offset >>> 24) / 8,
            },
          ]),
        ),
      },
    ]),
  );
}

function sizeOf(types: readonly BtfType[], id: number): number {
  const type = types[id];
  if (type === undefined) throw new Error(`no BTF type ${id}`);
  if (MODIFIERS.includes(type.kind)) return sizeOf(types, type.sizeOrType);
  if (type.kind === ARRAY) return type.elements * sizeOf(types, type.sizeOrType);
  return type.sizeOrType;
}

function readTypes(btf: Buffer): BtfType[] {
  const [typesAt, typesBytes, stringsAt] = [8, 12, 16].map((at) => btf.readUInt32LE(at)) as [
    number,
    number,
    number,
  ];
  const text = (offset: number): string => {
    const from = BTF_HEADER_BYTES + stringsAt + offset;
    return btf.toString('latin1', from, btf.indexOf(0, from));
  };
  const types: BtfType[] = [{ name: 'void', kind: 0, sizeOrType: 0, members: [], elements: 0 }];
  let at = BTF_HEADER_BYTES + typesAt;
  const end = at + typesBytes;
  while (at < end) {
    const info = btf.readUInt32LE(at + 4);
    const kind = (info >>> 24) & 0x1f;
    const count = info & 0xffff;
    const body = at + 12;
    const isArray = kind === ARRAY;
    types.push({
      name: text(btf.readUInt32LE(at)),
      kind,
      sizeOrType: isArray ? btf.readUInt32LE(body) : btf.readUInt32LE(at + 8),
      elements: isArray ? btf.readUInt32LE(body + 8) : 0,
      members: kind === STRUCT ? readMembers(btf, body, count, text) : [],
    });
    at = body + bodyBytes(kind, count);
  }
  return types;
}

function readMembers(
  btf: Buffer,
  body: number,
  count: number,
  text: (offset: number) => string,
): BtfType['members'] {
  return Array.from({ length: count }, (_, index) => {
    const at = body + 12 * index;
    return {
      name: text(btf.readUInt32LE(at)),
      type: btf.readUInt32LE(at + 4),
      offset: btf.readUInt32LE(at + 8),
    };
  });
}

function bodyBytes(kind: number, count: number): number {
  if (kind === INT || kind === VAR || kind === DECL_TAG) return 4;
  if (kind === ARRAY) return 12;
  if (kind === STRUCT || kind === UNION || kind === DATASEC || kind === ENUM64) return 12 * count;
  if (kind === ENUM || kind === FUNC_PROTO) return 8 * count;
  return 0;
}

/** Of a 64-bit little-endian ELF file. */
function section(elf: Buffer, name: string): Buffer {
  const headersAt = Number(elf.readBigUInt64LE(40));
  const [headerBytes, count, namesIndex] = [58, 60, 62].map((at) => elf.readUInt16LE(at)) as [
    number,
    number,
    number,
  ];
  const header = (index: number) => {
    const at = headersAt + index * headerBytes;
    const offset = Number(elf.readBigUInt64LE(at + 24));
    const bytes = elf.subarray(offset, offset + Number(elf.readBigUInt64LE(at + 32)));
    return { nameAt: elf.readUInt32LE(at), bytes };
  };
  const names = header(namesIndex).bytes;
  for (let index = 0; index < count; index++) {
    const { nameAt, bytes } = header(index);
    if (names.toString('latin1', nameAt, names.indexOf(0, nameAt)) === name) return bytes;
  }
  throw new Error(`the object has no section ${name}`);
}
