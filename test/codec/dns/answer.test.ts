/** What an answer teaches: addresses of the name that was asked, and nothing else, whatever stands in the message. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readAnswer } from '../../../src/codec/dns/answer.ts';
import type { DnsFault } from '../../../src/codec/dns/fault.ts';
import { readQuery } from '../../../src/codec/dns/query.ts';
import {
  ANSWER_FLAGS,
  a,
  cname,
  message,
  opt,
  pointerTo,
  question,
  ROOT,
  TO_QUESTION,
  uint16,
  type WireMessage,
  type WireRecord,
  wireLabel,
  wireName,
} from '../../support/dns_messages.ts';
import { runs } from '../../support/property_runs.ts';

const WWW = question('www.example.com');

interface Ask {
  readonly question?: Buffer;
  readonly isCaseKept?: boolean;
  readonly mayLeaveOutQuestion?: boolean;
  readonly addressCountMax?: number;
}

function read(
  bytes: Buffer,
  {
    question: asked = WWW,
    isCaseKept = false,
    mayLeaveOutQuestion = false,
    addressCountMax = 100,
  }: Ask = {},
) {
  const sent = message({ questions: [asked] });
  const reading = readQuery(sent);
  if (reading.kind !== 'query') throw new Error(reading.fault);
  return readAnswer(
    bytes,
    { message: sent, question: reading.query.question, isCaseKept, mayLeaveOutQuestion },
    { addressCountMax },
  );
}

function told(bytes: Buffer, ask: Ask = {}): string {
  const reading = read(bytes, ask);
  if (reading.kind !== 'answer') return `${reading.kind} ${reading.fault}`;
  const { rcode, addresses, ttlSeconds, aliases, isCut, isTruncated } = reading.answer;
  return [
    rcode,
    addresses.map(({ text }) => text).join(' ') || '-',
    ttlSeconds,
    ...(aliases.length > 0 ? [`by ${aliases.join(' ')}`] : []),
    ...(isCut ? ['cut'] : []),
    ...(isTruncated ? ['truncated'] : []),
  ].join(', ');
}

const answered = (parts: WireMessage, asked = WWW): Buffer =>
  message({ flags: ANSWER_FLAGS, questions: [asked], ...parts });

const answers = (...records: WireRecord[]): Buffer => answered({ answers: records });

function aaaa(owner: Buffer, hex: string, ttl = 60): WireRecord {
  return { owner, type: 28, ttl, data: Buffer.from(hex, 'hex') };
}

function https(
  owner: Buffer,
  priority: number,
  ...parameters: readonly [number, Buffer][]
): WireRecord {
  const parts = parameters.flatMap(([key, value]) => [uint16(key), uint16(value.length), value]);
  return { owner, type: 65, ttl: 60, data: Buffer.concat([uint16(priority), ROOT, ...parts]) };
}

const IP4 = Buffer.from([192, 0, 2, 1]);

describe('an answer teaches', () => {
  it.each<[string, Buffer]>([
    ['0, 192.0.2.1, 60', answers(a(TO_QUESTION, '192.0.2.1'))],
    [
      '0, 192.0.2.1 192.0.2.2, 5',
      answers(a(TO_QUESTION, '192.0.2.1', 5), a(wireName('WWW.example.com'), '192.0.2.2', 9)),
    ],
    ['0, 2001:db8::1, 60', answers(aaaa(TO_QUESTION, '20010db8000000000000000000000001'))],
    // As a client connects to it: by IPv4.
    ['0, 192.0.2.1, 60', answers(aaaa(TO_QUESTION, '00000000000000000000ffffc0000201'))],
    [
      '0, 192.0.2.1, 7, by cdn.example.net. edge.example.org.',
      answers(
        cname(TO_QUESTION, 'cdn.example.net', 30),
        cname(wireName('cdn.example.net'), 'edge.example.org', 7),
        a(wireName('edge.example.org'), '192.0.2.1', 300),
      ),
    ],
    [
      '0, 192.0.2.1, 60, by cdn.example.net. edge.example.org.',
      answers(
        a(wireName('edge.example.org'), '192.0.2.1'),
        cname(wireName('cdn.example.net'), 'edge.example.org'),
        cname(TO_QUESTION, 'cdn.example.net'),
      ),
    ],
    ['0, -, 0', answers()],
    ['3, -, 0', answered({ flags: ANSWER_FLAGS | 3 })],
    [
      '0, 192.0.2.1, 60, truncated',
      answered({ flags: ANSWER_FLAGS | 0x200, answers: [a(TO_QUESTION, '192.0.2.1')] }),
    ],
    [
      '0, 192.0.2.1, 60',
      answered({ answers: [a(TO_QUESTION, '192.0.2.1')], additional: [opt(1232)] }),
    ],
    ['0, 192.0.2.1, 60', answers(https(TO_QUESTION, 1, [1, Buffer.from('\x02h2')], [4, IP4]))],
    [
      '0, 2001:db8::1, 60',
      answers(https(TO_QUESTION, 1, [6, Buffer.from('20010db8000000000000000000000001', 'hex')])),
    ],
    ['0, 192.0.2.1, 2147483647', answers(a(TO_QUESTION, '192.0.2.1', 0x7fffffff))],
    ['0, 192.0.2.1, 0', answers(a(TO_QUESTION, '192.0.2.1', 0x80000000))],
    ['0, 192.0.2.1, 0', answers(a(TO_QUESTION, '192.0.2.1', 0))],
  ])('%s', (expected, bytes) => expect(told(bytes)).toBe(expected));
});

describe('an answer teaches nothing about', () => {
  it.each<[string, Buffer, string]>([
    ['names that were not asked', answers(a(wireName('bank.example'), '192.0.2.9')), '0, -, 0'],
    [
      'what stands in other sections',
      answered({
        authority: [a(TO_QUESTION, '192.0.2.9')],
        additional: [a(TO_QUESTION, '192.0.2.8')],
      }),
      '0, -, 0',
    ],
    [
      'the name when it is a failure',
      answered({ flags: ANSWER_FLAGS | 3, answers: [a(TO_QUESTION, '192.0.2.9')] }),
      '3, -, 0',
    ],
    ['other classes', answers({ ...a(TO_QUESTION, '192.0.2.9'), class: 3 }), '0, -, 0'],
    [
      'addresses of another length',
      answers({ owner: TO_QUESTION, type: 1, data: Buffer.alloc(5) }),
      '0, -, 0',
    ],
    [
      'a loop',
      answers(cname(TO_QUESTION, 'b'), cname(wireName('b'), 'www.example.com')),
      '0, -, 0, by b.',
    ],
    [
      'a second alias of one name',
      answers(cname(TO_QUESTION, 'b'), cname(TO_QUESTION, 'c'), a(wireName('c'), '192.0.2.9')),
      '0, -, 0, by b.',
    ],
    ['hints of an alias record', answers(https(TO_QUESTION, 0, [4, IP4])), '0, -, 0'],
    [
      'hints of a record that is wrong',
      answers(https(TO_QUESTION, 1, [4, IP4], [1, IP4])),
      '0, -, 0',
    ],
    ['hints that are cut', answers(https(TO_QUESTION, 1, [4, IP4.subarray(1)])), '0, -, 0'],
  ])('%s', (_, bytes, expected) => expect(told(bytes)).toBe(expected));

  it('a chain that is too long', () => {
    const link = (n: number): Buffer => (n === 0 ? TO_QUESTION : wireName(`n${n}`));
    const chain = (count: number): Buffer =>
      answers(
        ...Array.from({ length: count }, (_, n) => cname(link(n), `n${n + 1}`)),
        a(link(count), '192.0.2.1'),
      );
    expect(told(chain(16))).toContain('192.0.2.1');
    expect(told(chain(17))).not.toContain('192.0.2.1');
    expect(told(chain(3000))).not.toContain('192.0.2.1');
  });

  it('more addresses than one name may have', () => {
    const many = Array.from({ length: 300 }, (_, n) =>
      a(TO_QUESTION, `10.0.${n >> 8}.${n & 255}`, 300 - n),
    );
    const reading = read(answers(...many), { addressCountMax: 100 });
    expect(reading).toMatchObject({ kind: 'answer', answer: { isCut: true, ttlSeconds: 201 } });
    if (reading.kind === 'answer') expect(reading.answer.addresses).toHaveLength(100);
    expect(
      told(answers(a(TO_QUESTION, '192.0.2.1'), a(TO_QUESTION, '192.0.2.1')), {
        addressCountMax: 1,
      }),
    ).toBe('0, 192.0.2.1, 60');
  });

  it('another class than that of the internet', () => {
    const asked = question('www.example.com', 1, 3);
    expect(
      told(answered({ answers: [a(TO_QUESTION, '192.0.2.1')] }, asked), { question: asked }),
    ).toBe('0, -, 0');
  });
});

describe('not the answer is', () => {
  const right = answers(a(TO_QUESTION, '192.0.2.1'));
  const changed = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(right);
    change(bytes);
    return bytes;
  };

  it.each<[string, DnsFault, Buffer]>([
    ['one with another id', 'other-question', changed((bytes) => bytes.writeUInt16BE(0x1235, 0))],
    ['a question', 'not-a-question', changed((bytes) => bytes.writeUInt16BE(0x0100, 2))],
    [
      'one of another operation',
      'not-a-question',
      changed((bytes) => bytes.writeUInt16BE(0xa800, 2)),
    ],
    [
      'one about another name',
      'other-question',
      answered({ answers: [] }, question('wwx.example.com')),
    ],
    [
      'one about another type',
      'other-question',
      answered({ answers: [] }, question('www.example.com', 28)),
    ],
    [
      'one about another class',
      'other-question',
      answered({ answers: [] }, question('www.example.com', 1, 3)),
    ],
    [
      'one with two questions',
      'question-count',
      message({ flags: ANSWER_FLAGS, questions: [WWW, WWW] }),
    ],
    ['success without a question', 'question-count', message({ flags: ANSWER_FLAGS })],
    ['no such name without a question', 'question-count', message({ flags: ANSWER_FLAGS | 3 })],
    [
      'a failure without a question, but with records',
      'question-count',
      message({ flags: ANSWER_FLAGS | 2, answers: [a(ROOT, '192.0.2.1')] }),
    ],
    ['one that ends within the question', 'question-cut', right.subarray(0, 20)],
    ['half a header', 'short-header', right.subarray(0, 11)],
  ])('%s', (_, fault, bytes) => expect(told(bytes)).toBe(`foreign ${fault}`));

  it('one without a question is one where it may be left out, as in a transfer', () => {
    const part = message({
      flags: ANSWER_FLAGS,
      answers: [a(wireName('www.example.com'), '192.0.2.1')],
    });
    expect(told(part)).toBe('foreign question-count');
    expect(told(part, { mayLeaveOutQuestion: true })).toBe('0, 192.0.2.1, 60');
  });

  it('one in other letters, from a server that keeps them', () => {
    const inCapitals = answered(
      { answers: [a(TO_QUESTION, '192.0.2.1')] },
      question('WWW.example.com'),
    );
    expect(told(inCapitals)).toBe('0, 192.0.2.1, 60');
    expect(told(inCapitals, { isCaseKept: true })).toBe('foreign other-letters');
  });

  it('one whose type differs by the bit that tells letters apart', () => {
    const asked = question('a', 0x41);
    expect(told(answered({}, question('a', 0x61)), { question: asked })).toBe(
      'foreign other-question',
    );
  });

  it('a failure without a question is one, as of a server that could not read it', () => {
    expect(told(message({ flags: ANSWER_FLAGS | 1 }))).toBe('1, -, 0');
  });
});

/** A TXT record of `count` pointers, each to the one before it, and an address whose owner is the last of them. */
function chained(count: number): Buffer {
  const dataAt = 12 + WWW.length + 12;
  const data = Array.from({ length: count }, (_, i) => pointerTo(i ? dataAt + 2 * (i - 1) : 12));
  const last = pointerTo(dataAt + 2 * (count - 1));
  const chain = { owner: TO_QUESTION, type: 16, data: Buffer.concat(data) };
  return answers(chain, a(last, '192.0.2.1'));
}

it('an owner is followed over as many pointers as a name can have use for', () => {
  expect(told(chained(126))).toBe('0, 192.0.2.1, 60');
  expect(told(chained(127))).toBe('0, -, 0');
  expect(told(chained(8000))).toBe('0, -, 0');
});

describe('malformed is', () => {
  const owner = (bytes: Buffer): Buffer => answers({ owner: bytes, type: 1, data: IP4 });

  it.each<[string, DnsFault, Buffer]>([
    ['a pointer forwards', 'record-name', owner(pointerTo(60))],
    ['a pointer to itself', 'record-name', owner(pointerTo(33))],
    [
      'a pointer behind a label to that label',
      'record-name',
      owner(Buffer.concat([wireLabel('a'), pointerTo(33)])),
    ],
    ['a reserved kind of label', 'record-name', owner(Buffer.from([0x80, 0]))],
    [
      'bytes behind the last record',
      'trailing-bytes',
      Buffer.concat([answers(a(TO_QUESTION, '192.0.2.1')), ROOT]),
    ],
  ])('%s', (_, fault, bytes) => expect(told(bytes)).toBe(`malformed ${fault}`));

  it('every answer that is cut behind its question', () => {
    const whole = answers(cname(TO_QUESTION, 'b'), a(wireName('b'), '192.0.2.1'));
    for (let length = 12 + WWW.length; length < whole.length; length++) {
      expect(read(whole.subarray(0, length)).kind).toBe('malformed');
    }
  });
});

describe('whatever comes', () => {
  it('is read without an exception in bounded time, and addresses are those of records that stand there', () => {
    const start = answers(
      cname(TO_QUESTION, Buffer.concat([wireLabel('cdn'), pointerTo(16)])),
      a(Buffer.concat([wireLabel('cdn'), pointerTo(16)]), '192.0.2.1'),
      https(TO_QUESTION, 1, [4, IP4]),
      aaaa(TO_QUESTION, '20010db8000000000000000000000001'),
    );
    const damages = fc.array(fc.record({ at: fc.nat(start.length - 1), byte: fc.nat(255) }), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(damages, fc.uint8Array({ maxLength: 20 }), (damaged, tail) => {
        const bytes = Buffer.concat([start, tail]);
        for (const { at, byte } of damaged) bytes[at] = byte;
        const reading = read(bytes);
        if (reading.kind !== 'answer') return;
        for (const { bytes: ip } of reading.answer.addresses) {
          expect(bytes.includes(Buffer.from(ip))).toBe(true);
        }
      }),
      runs(3000),
    );
  });

  it('with the longest chain of pointers that a message has room for', () => {
    // Each owner is a label and a pointer to the owner before.
    const records: WireRecord[] = [];
    let at = 12 + WWW.length;
    let before = 12;
    for (let n = 0; n < 4000; n++) {
      const bytes = Buffer.concat([wireLabel('a'), pointerTo(before)]);
      records.push({ owner: bytes, type: 1, data: IP4 });
      if (at < 0x3fff) before = at;
      at += bytes.length + 14;
    }
    expect(told(answers(...records))).toBe('0, -, 0');
  });
});
