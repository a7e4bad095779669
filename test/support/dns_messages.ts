/** DNS messages put together by hand, right ones and wrong ones: independent of what reads them. */
export interface WireRecord {
  readonly owner: Buffer;
  readonly type: number;
  readonly class?: number;
  readonly ttl?: number;
  readonly data?: Buffer;
}

export interface WireMessage {
  readonly id?: number;
  readonly flags?: number;
  readonly questions?: readonly Buffer[];
  readonly answers?: readonly WireRecord[];
  readonly authority?: readonly WireRecord[];
  readonly additional?: readonly WireRecord[];
}

export const QUERY_FLAGS = 0x0100;
export const ANSWER_FLAGS = 0x8180;

export const ROOT = Buffer.from([0]);

/** To the question's name, behind the header. */
export const TO_QUESTION = Buffer.from([0xc0, 12]);

/** Labels are what stands between dots. */
export function wireName(text: string): Buffer {
  const labels = text.split('.').filter((label) => label !== '');
  return Buffer.concat([...labels.map(wireLabel), ROOT]);
}

export function wireLabel(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

export function pointerTo(at: number): Buffer {
  return Buffer.from([0xc0 | (at >> 8), at & 0xff]);
}

export function question(name: string | Buffer, type = 1, classNumber = 1): Buffer {
  const owner = typeof name === 'string' ? wireName(name) : name;
  return Buffer.concat([owner, uint16(type), uint16(classNumber)]);
}

export function a(owner: Buffer, ip: string, ttl = 60): WireRecord {
  return { owner, type: 1, ttl, data: Buffer.from(ip.split('.').map(Number)) };
}

export function cname(owner: Buffer, target: string | Buffer, ttl = 60): WireRecord {
  return { owner, type: 5, ttl, data: typeof target === 'string' ? wireName(target) : target };
}

export function opt(udpBytesMax: number, flags = 0, data: Buffer = Buffer.alloc(0)): WireRecord {
  return { owner: ROOT, type: 41, class: udpBytesMax, ttl: flags, data };
}

export function option(code: number, value: Buffer): Buffer {
  return Buffer.concat([uint16(code), uint16(value.length), value]);
}

export function message(parts: WireMessage): Buffer {
  const { id = 0x1234, flags = QUERY_FLAGS, questions = [] } = parts;
  const { answers = [], authority = [], additional = [] } = parts;
  const counts = [questions, answers, authority, additional].map(({ length }) => uint16(length));
  const records = [...answers, ...authority, ...additional].map(wireRecord);
  return Buffer.concat([uint16(id), uint16(flags), ...counts, ...questions, ...records]);
}

function wireRecord({
  owner,
  type,
  class: number = 1,
  ttl = 0,
  data = Buffer.alloc(0),
}: WireRecord): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(number, 2);
  fixed.writeUInt32BE(ttl >>> 0, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([owner, fixed, data]);
}

export function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}
