/**
 * The header of a DNS message (RFC 1035 4.1.1), and the numbers that messages are made of.
 *
 *     0        2     3     4        6        8        10       12
 *     │ id     │ QR OPCODE AA TC RD │ RA Z AD CD RCODE │ questions │ answers │ authority │ additional │
 */
export const HEADER_BYTES = 12;

export const AT = {
  id: 0,
  flags: 2,
  questions: 4,
  answers: 6,
  authority: 8,
  additional: 10,
} as const;

export const FLAG_RESPONSE = 0x8000;
export const FLAG_TRUNCATED = 0x0200;
export const FLAG_RECURSION_DESIRED = 0x0100;
export const FLAG_RECURSION_AVAILABLE = 0x0080;
export const FLAG_CHECKING_DISABLED = 0x0010;
const OPCODE_SHIFT = 11;
const OPCODE_MASK = 0x0f;
const RCODE_MASK = 0x000f;

export const OPCODE_QUERY = 0;

/** RFC 1035 4.1.1. */
export const RCODE = {
  NoError: 0,
  FormErr: 1,
  ServFail: 2,
  NXDomain: 3,
  NotImp: 4,
  Refused: 5,
} as const;

export type Rcode = (typeof RCODE)[keyof typeof RCODE];

export const TYPE = {
  A: 1,
  CNAME: 5,
  SOA: 6,
  SIG: 24,
  AAAA: 28,
  OPT: 41,
  SVCB: 64,
  HTTPS: 65,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
} as const;

export const CLASS = { IN: 1, CH: 3, HS: 4, ANY: 255 } as const;

export function flagsOf(message: Buffer): number {
  return message.readUInt16BE(AT.flags);
}

export function opcodeOf(message: Buffer): number {
  return (flagsOf(message) >>> OPCODE_SHIFT) & OPCODE_MASK;
}

/** Without the upper bits that an OPT record may add. */
export function rcodeOf(message: Buffer): number {
  return flagsOf(message) & RCODE_MASK;
}

export function isResponse(message: Buffer): boolean {
  return (flagsOf(message) & FLAG_RESPONSE) !== 0;
}
