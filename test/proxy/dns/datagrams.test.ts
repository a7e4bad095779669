/** Questions by UDP: what reaches the server, what the client is given, and what nobody hears of. */
import { createSocket } from 'node:dgram';
import { afterEach, describe, expect, it } from 'vitest';
import { PLAIN_DATAGRAMS } from '../../../src/platform/datagrams.ts';
import {
  ANSWER_FLAGS,
  a,
  cname,
  message,
  opt,
  question,
  TO_QUESTION,
  uint16,
  wireName,
} from '../../support/dns_messages.ts';
import {
  allowNames,
  anAnswer,
  closeDnsRigs,
  type DnsRig,
  questionOf,
  startDnsRig,
} from '../../support/dns_rig.ts';
import { settled } from '../../support/settled.ts';

afterEach(closeDnsRigs);

const API = question('api.example.com');
const EVIL = question('evil.example.org');

const ask = (asked = API, id = 0x1234): Buffer => message({ id, questions: [asked] });

function rcode(bytes: Buffer): number {
  return bytes.readUInt16BE(2) & 0xf;
}

function numbered(bytes: Buffer, id: number): Buffer {
  const other = Buffer.from(bytes);
  other.writeUInt16BE(id & 0xffff, 0);
  return other;
}

describe('a question that is allowed', () => {
  it('is answered as the server answers it, under its own id', async () => {
    const rig = await startDnsRig();
    const client = await rig.udp();
    const answer = await client.ask(ask());
    expect(answer).toEqual(anAnswer(ask()));
    expect(rig.summaries).toEqual(['forwarded allowed 0 api.example.com.']);
    expect(rig.recorder.records[0]?.question).toEqual({
      name: 'api.example.com.',
      type: 'A',
      rcode: 0,
      ips: ['192.0.2.1'],
      ttlSeconds: 60,
    });
    expect(rig.recorder.records[0]).toMatchObject({
      responseSource: 'upstream',
      bytesIn: ask().length,
      bytesOut: answer.length,
      meta: { transport: 'UDP', endpointIp: '127.0.0.1' },
    });
  });

  it('goes on byte for byte, but for its id', async () => {
    const rig = await startDnsRig();
    const client = await rig.udp();
    const cookie = Buffer.concat([uint16(10), uint16(8), Buffer.from('00112233')]);
    const asked = message({ id: 7, questions: [API], additional: [opt(1232, 0x8000, cookie)] });
    await client.ask(asked);
    const [heard] = rig.server.heard;
    expect(heard?.bytes.subarray(2)).toEqual(asked.subarray(2));
  });

  it('has an id and a port that nobody foresees', async () => {
    const rig = await startDnsRig();
    const client = await rig.udp();
    for (let i = 0; i < 64; i++) await client.ask(ask());
    const ids = new Set(rig.server.heard.map(({ bytes }) => bytes.readUInt16BE(0)));
    const ports = rig.server.heard.map(({ port }) => port);
    // Of 64 random ones of 65,536, more than 8 that come twice are not to be had.
    expect(ids.size).toBeGreaterThan(56);
    expect(new Set(ports).size).toBeGreaterThan(56);
    const steps = new Set(ports.slice(1).map((port, index) => port - (ports[index] as number)));
    expect(steps.size).toBeGreaterThan(48);
  });

  it('is given back in the letters that the server wrote: who varies them sees a forgery', async () => {
    const lower = (bytes: Buffer): Buffer =>
      Buffer.from(questionOf(bytes).toString('latin1').toLowerCase(), 'latin1');
    const rig = await startDnsRig({
      script: ({ bytes }) => [
        numbered(
          message({
            flags: ANSWER_FLAGS,
            questions: [lower(bytes)],
            answers: [a(TO_QUESTION, '192.0.2.1')],
          }),
          bytes.readUInt16BE(0),
        ),
      ],
    });
    const client = await rig.udp();
    const asked = ask(question('aPi.ExAmPlE.cOm'));
    const answer = await client.ask(asked);
    expect(questionOf(answer)).toEqual(lower(asked));
    expect(rig.server.heard[0]?.bytes.subarray(2)).toEqual(asked.subarray(2));
  });

  it.each([
    ['HTTPS', 65],
    ['SVCB', 64],
    ['TXT', 16],
    ['ANY', 255],
    ['a type that nobody knows', 65_280],
  ])('is judged by its name, whatever its type: %s', async (_, type) => {
    const rig = await startDnsRig();
    const client = await rig.udp();
    expect(rcode(await client.ask(ask(question('api.example.com', type))))).toBe(0);
    expect(rcode(await client.ask(ask(question('evil.example.org', type))))).toBe(5);
    expect(rig.server.heard).toHaveLength(1);
  });

  it.each([
    ['no such name', 3],
    ['SERVFAIL', 2],
    ['REFUSED', 5],
  ])('gets what its server says: %s', async (_, code) => {
    const rig = await startDnsRig({
      script: ({ bytes }) => [
        numbered(
          message({ flags: ANSWER_FLAGS | code, questions: [questionOf(bytes)] }),
          bytes.readUInt16BE(0),
        ),
      ],
    });
    const client = await rig.udp();
    expect(rcode(await client.ask(ask()))).toBe(code);
    expect(rig.recorder.records[0]).toMatchObject({
      verdict: 'forwarded',
      responseSource: 'upstream',
    });
  });

  it('is asked again each time that the client repeats it', async () => {
    const rig = await startDnsRig({ script: () => [] });
    const client = await rig.udp();
    client.send(ask());
    client.send(ask());
    const heard = await rig.server.untilHeard(2);
    for (const { bytes, answer } of heard) answer(anAnswer(bytes));
    await client.untilAnswers(2);
    expect(rig.summaries).toHaveLength(2);
  });
});

describe('a question that is denied', () => {
  it.each([
    ['refused', 5],
    ['nxdomain', 3],
  ] as const)('is answered by us: %s', async (dnsRefusal, code) => {
    const rig = await startDnsRig({ behaviour: { dnsRefusal } });
    const client = await rig.udp();
    const answer = await client.ask(message({ id: 9, questions: [EVIL], additional: [opt(1232)] }));
    expect(rcode(answer)).toBe(code);
    expect(answer.readUInt16BE(0)).toBe(9);
    expect(questionOf(answer)).toEqual(EVIL);
    // RFC 8914: "Prohibited", and nothing of rules.
    expect(answer.subarray(-6)).toEqual(Buffer.from([0, 15, 0, 2, 0, 18]));
    expect(rig.server.heard).toEqual([]);
    expect(rig.summaries).toEqual([`denied no-dns-rule-matched ${code} evil.example.org.`]);
    expect(rig.recorder.records[0]?.responseSource).toBe('local');
  });

  it('is one whose dot is in a label', async () => {
    const rig = await startDnsRig();
    const client = await rig.udp();
    const label = Buffer.concat([Buffer.from([11]), Buffer.from('api.example'), wireName('com')]);
    const answer = await client.ask(ask(question(label)));
    expect(rcode(answer)).toBe(5);
    expect(rig.server.heard).toEqual([]);
  });

  it('goes on in dry-run, and its record says that it was denied', async () => {
    const rig = await startDnsRig({ behaviour: { isDryRun: true } });
    const client = await rig.udp();
    expect(await client.ask(ask(EVIL))).toEqual(anAnswer(ask(EVIL)));
    expect(rig.recorder.records[0]).toMatchObject({
      verdict: 'forwarded',
      isDryRun: true,
      decision: { verdict: 'deny' },
    });
  });

  it('by nobody whom a policy knows is refused', async () => {
    const rig = await startDnsRig();
    const client = await rig.udp('127.0.0.9');
    expect(rcode(await client.ask(ask()))).toBe(5);
    expect(rig.summaries).toEqual(['denied no-policy 5 api.example.com.']);
  });

  it('since it was asked gets no answer of its server', async () => {
    const rig = await startDnsRig({ script: () => [] });
    const client = await rig.udp();
    client.send(ask());
    const [heard] = await rig.server.untilHeard(1);
    rig.update(allowNames('www.example.com'));
    heard?.answer(anAnswer(heard.bytes));
    const [answer] = await client.untilAnswers(1);
    expect(rcode(answer as Buffer)).toBe(5);
    expect(answer?.readUInt16BE(6)).toBe(0);
    expect(rig.summaries).toEqual(['denied no-dns-rule-matched 5 api.example.com.']);
  });
});

describe('what has two readings', () => {
  it.each<[string, number, Buffer]>([
    ['two questions', 1, message({ questions: [API, API] })],
    ['no question', 1, message({})],
    ['a compressed name', 1, message({ questions: [question(Buffer.from([0xc0, 12]))] })],
    ['a label of a reserved kind', 1, message({ questions: [question(Buffer.from([0x41, 0]))] })],
    ['bytes behind the end', 1, Buffer.concat([ask(), Buffer.from([0])])],
    ['a name that is cut', 1, ask().subarray(0, 20)],
    ['an update', 4, message({ flags: 0x2800, questions: [API] })],
    ['a notify', 4, message({ flags: 0x2000, questions: [API] })],
    ['an unknown class', 4, message({ questions: [question('api.example.com', 1, 9)] })],
    [
      'an answer within a question',
      1,
      message({ questions: [API], answers: [a(TO_QUESTION, '192.0.2.1')] }),
    ],
    ['two OPT records', 1, message({ questions: [API], additional: [opt(1232), opt(512)] })],
  ])('reaches no server: %s', async (_, code, bytes) => {
    const rig = await startDnsRig();
    const client = await rig.udp();
    const answer = await client.ask(bytes);
    expect(rcode(answer)).toBe(code);
    expect(answer.readUInt16BE(2) & 0x8000).toBe(0x8000);
    expect(rig.server.heard).toEqual([]);
    expect(rig.recorder.records[0]).toMatchObject({
      verdict: 'error',
      fault: 'malformed-question',
    });
  });

  it.each<[string, Buffer]>([
    ['an answer', anAnswer(ask())],
    ['less than a header', Buffer.alloc(11)],
    ['nothing', Buffer.alloc(0)],
    [
      'more than a question may have',
      message({ questions: [API], additional: [opt(1232, 0, Buffer.alloc(5000))] }),
    ],
  ])('or is no question is answered by nobody: %s', async (_, bytes) => {
    const rig = await startDnsRig();
    const client = await rig.udp();
    client.send(bytes);
    await client.ask(ask());
    expect(client.answers).toHaveLength(1);
    expect(rig.recorder.ignored).toEqual(['downstream']);
    expect(rig.summaries).toHaveLength(1);
  });
});

describe('an answer counts only', () => {
  const forged = (bytes: Buffer): Buffer => anAnswer(bytes, '203.0.113.66');

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['another id', (bytes) => numbered(forged(bytes), bytes.readUInt16BE(0) ^ 1)],
    [
      'another name',
      (bytes) => numbered(forged(ask(question('api.example.net'))), bytes.readUInt16BE(0)),
    ],
    [
      'another type',
      (bytes) => numbered(forged(ask(question('api.example.com', 28))), bytes.readUInt16BE(0)),
    ],
    [
      'another class',
      (bytes) => numbered(forged(ask(question('api.example.com', 1, 3))), bytes.readUInt16BE(0)),
    ],
    [
      'no question',
      (bytes) =>
        numbered(
          message({
            flags: ANSWER_FLAGS,
            answers: [a(wireName('api.example.com'), '203.0.113.66')],
          }),
          bytes.readUInt16BE(0),
        ),
    ],
    [
      'two questions',
      (bytes) =>
        numbered(message({ flags: ANSWER_FLAGS, questions: [API, API] }), bytes.readUInt16BE(0)),
    ],
    ['a question in its place', (bytes) => bytes],
    ['nothing', () => Buffer.alloc(0)],
  ])('with what was asked: %s is as if it had not come', async (_, forge) => {
    const rig = await startDnsRig({
      script: ({ bytes }) => [forge(Buffer.from(bytes)), anAnswer(bytes)],
    });
    const client = await rig.udp();
    expect(await client.ask(ask())).toEqual(anAnswer(ask()));
    expect(rig.recorder.ignored).toEqual(['upstream']);
    expect(rig.summaries).toEqual(['forwarded allowed 0 api.example.com.']);
  });

  it('from the server that was asked: another port of it is nobody', async () => {
    const rig = await startDnsRig({ script: () => [] });
    const client = await rig.udp();
    client.send(ask());
    const [heard] = await rig.server.untilHeard(1);
    if (heard === undefined) throw new Error('nothing was heard');
    const stranger = createSocket('udp4');
    await new Promise((sent) => stranger.send(forged(heard.bytes), heard.port, '127.0.0.1', sent));
    await settled();
    heard.answer(anAnswer(heard.bytes));
    const [answer] = await client.untilAnswers(1);
    expect(answer).toEqual(anAnswer(ask()));
    stranger.close();
  });

  it('while it is waited for', async () => {
    const rig = await startDnsRig({ script: () => [], limits: { dnsAnswerTimeoutMs: 5000 } });
    const client = await rig.udp();
    client.send(ask());
    const [heard] = await rig.server.untilHeard(1);
    rig.time.advance(4999);
    expect(rig.summaries).toEqual([]);
    rig.time.advance(100);
    expect(rig.summaries).toEqual(['error answer-timeout - api.example.com.']);
    heard?.answer(anAnswer(heard.bytes));
    rig.server.script = ({ bytes }) => [anAnswer(bytes)];
    await client.ask(ask(API, 2));
    // Nothing came of the first one, neither from the server nor from us.
    expect(client.answers.map((bytes) => bytes.readUInt16BE(0))).toEqual([2]);
  });

  it('until somebody guesses: then the question has failed', async () => {
    const rig = await startDnsRig({
      script: ({ bytes }) =>
        Array.from({ length: 40 }, (_, i) =>
          numbered(forged(bytes), bytes.readUInt16BE(0) + 1 + i),
        ),
    });
    const client = await rig.udp();
    expect(rcode(await client.ask(ask()))).toBe(2);
    expect(rig.summaries).toEqual(['error malformed-answer 2 api.example.com.']);
  });

  it.each<[string, (asked: Buffer) => Buffer]>([
    ['bytes behind the end', (asked) => Buffer.concat([anAnswer(asked), Buffer.from([0])])],
    ['a record that is cut', (asked) => anAnswer(asked).subarray(0, -1)],
    [
      'an owner that points at itself',
      (asked) => {
        const at = 12 + questionOf(asked).length;
        const owner = Buffer.from([0xc0, at]);
        return numbered(
          message({
            flags: ANSWER_FLAGS,
            questions: [questionOf(asked)],
            answers: [a(owner, '192.0.2.1')],
          }),
          asked.readUInt16BE(0),
        );
      },
    ],
  ])('when it can be read: %s is SERVFAIL', async (_, broken) => {
    const rig = await startDnsRig({ script: ({ bytes }) => [broken(bytes)] });
    const client = await rig.udp();
    const answer = await client.ask(ask());
    expect(rcode(answer)).toBe(2);
    expect(answer.readUInt16BE(6)).toBe(0);
    expect(rig.summaries).toEqual(['error malformed-answer 2 api.example.com.']);
  });

  it.each([
    ['no EDNS', [], 512],
    ['EDNS', [opt(1232, 0x8000)], 1232],
    ['less than everybody takes', [opt(100)], 512],
  ])(
    'to its end: what is longer than the client takes is none of it, with TC, %s',
    async (_, additional, bytesMax) => {
      const texts = (asked: Buffer, bytes: number): Buffer => {
        const whole = message({
          flags: ANSWER_FLAGS,
          questions: [questionOf(asked)],
          answers: [
            {
              owner: TO_QUESTION,
              type: 16,
              ttl: 60,
              data: Buffer.alloc(bytes - 12 - API.length - 12),
            },
          ],
        });
        asked.copy(whole, 0, 0, 2);
        return whole;
      };
      let bytes = bytesMax;
      const rig = await startDnsRig({ script: (heard) => [texts(heard.bytes, bytes)] });
      const asked = message({ id: 3, questions: [API], additional });
      const client = await rig.udp();
      expect(await client.ask(asked)).toEqual(texts(asked, bytesMax));
      bytes = bytesMax + 1;
      const cut = await client.ask(asked);
      // QR, TC, RD, RA.
      expect(cut.subarray(0, 8)).toEqual(Buffer.from([0, 3, 0x83, 0x80, 0, 1, 0, 0]));
      expect(cut.subarray(8, 12)).toEqual(Buffer.from([0, 0, 0, additional.length]));
      expect(questionOf(cut)).toEqual(API);
      expect(cut.length).toBe(12 + API.length + (additional.length === 0 ? 0 : 11));
      const byTcp = await rig.tcp();
      byTcp.send(asked);
      expect((await byTcp.untilAnswers(1))[0]).toEqual(texts(asked, bytes));
      expect(rig.summaries).toEqual(Array(3).fill('forwarded allowed 0 api.example.com.'));
    },
  );

  it('for its own name: what else it has is passed on and not learned', async () => {
    const rig = await startDnsRig({
      script: ({ bytes }) => [
        numbered(
          message({
            flags: ANSWER_FLAGS,
            questions: [questionOf(bytes)],
            answers: [
              cname(TO_QUESTION, 'b.example.net'),
              cname(wireName('b.example.net'), 'api.example.com'),
              a(wireName('bank.example'), '203.0.113.66'),
            ],
          }),
          bytes.readUInt16BE(0),
        ),
      ],
    });
    const client = await rig.udp();
    expect((await client.ask(ask())).readUInt16BE(6)).toBe(3);
    expect(rig.recorder.records[0]?.question).toMatchObject({ rcode: 0, ips: [] });
  });
});

describe('bounds', () => {
  async function flooded(rig: DnsRig, from: string, count: number) {
    const client = await rig.udp(from);
    for (let i = 0; i < count; i++) client.send(ask(API, i));
    return client;
  }

  it('of one source are told by SERVFAIL, and concern no other', async () => {
    const rig = await startDnsRig({ script: () => [], limits: { dnsSourceQuestionCountMax: 8 } });
    const greedy = await flooded(rig, '127.0.0.1', 12);
    const refused = await greedy.untilAnswers(4);
    expect(refused.map(rcode)).toEqual([2, 2, 2, 2]);
    const other = await rig.udp('127.0.0.2');
    other.send(ask());
    await rig.server.untilHeard(9);
    expect(rig.summaries).toEqual(Array(4).fill('error overloaded 2 api.example.com.'));
  });

  it('of all are shared: who asks most makes room for who asks little', async () => {
    const rig = await startDnsRig({ script: () => [], limits: { dnsQuestionCountMax: 8 } });
    const greedy = await flooded(rig, '127.0.0.1', 8);
    await rig.server.untilHeard(8);
    rig.server.script = ({ bytes }) => [anAnswer(bytes)];
    const other = await rig.udp('127.0.0.2');
    expect(await other.ask(ask())).toEqual(anAnswer(ask()));
    const [evicted] = await greedy.untilAnswers(1);
    expect(rcode(evicted as Buffer)).toBe(2);
    expect(evicted?.readUInt16BE(0)).toBe(0);
    expect(rig.recorder.evictions).toEqual(['questions spare']);
    expect(rig.summaries).toContain('error evicted 2 api.example.com.');
  });

  it('many addresses of one identity are not many shares', async () => {
    const rig = await startDnsRig({ script: () => [], limits: { dnsQuestionCountMax: 8 } });
    await flooded(rig, '127.0.0.1', 4);
    await flooded(rig, '127.0.0.3', 4);
    await rig.server.untilHeard(8);
    const other = await flooded(rig, '127.0.0.2', 3);
    await rig.server.untilHeard(11);
    expect(other.answers).toEqual([]);
    expect(rig.recorder.evictions).toHaveLength(3);
  });

  it('come free with each answer', async () => {
    const rig = await startDnsRig({
      limits: { dnsQuestionCountMax: 2, dnsSourceQuestionCountMax: 2 },
    });
    const client = await rig.udp();
    for (let i = 0; i < 20; i++) expect(rcode(await client.ask(ask(API, i)))).toBe(0);
    expect(rig.recorder.evictions).toEqual([]);
  });
});

describe('a server', () => {
  it('that is not there is SERVFAIL', async () => {
    const gone = createSocket('udp4').bind(0, '127.0.0.1');
    await new Promise((listening) => gone.once('listening', listening));
    const { port } = gone.address();
    await new Promise<void>((closed) => gone.close(() => closed()));
    const rig = await startDnsRig({ upstreamPort: port });
    const client = await rig.udp();
    expect(rcode(await client.ask(ask()))).toBe(2);
    expect(rig.summaries).toEqual(['error connect-failed 2 api.example.com.']);
  });

  it('that is slow stops no other question', async () => {
    const rig = await startDnsRig({
      script: ({ bytes }) => (questionOf(bytes).includes('slow') ? [] : [anAnswer(bytes)]),
    });
    const client = await rig.udp();
    client.send(ask(question('slow.example.net'), 1));
    await rig.server.untilHeard(1);
    expect((await client.ask(ask(API, 2))).readUInt16BE(0)).toBe(2);
  });

  it('for whom no socket is to be had is SERVFAIL', async () => {
    const full = Object.assign(new Error('too many open files'), { code: 'EMFILE' });
    const rig = await startDnsRig({
      datagrams: () => ({
        ...PLAIN_DATAGRAMS,
        connect: () => {
          throw full;
        },
      }),
    });
    const client = await rig.udp();
    expect(rcode(await client.ask(ask()))).toBe(2);
    expect(rig.summaries).toEqual(['error overloaded 2 api.example.com.']);
  });

  it('that breaks the proxy ends one question, counted as a bug of ours', async () => {
    let isBroken = true;
    const rig = await startDnsRig({
      datagrams: () => ({
        ...PLAIN_DATAGRAMS,
        connect: (peer, options) => {
          if (isBroken) throw new TypeError('of ours');
          return PLAIN_DATAGRAMS.connect(peer, options);
        },
      }),
    });
    const client = await rig.udp();
    expect(rcode(await client.ask(ask()))).toBe(2);
    isBroken = false;
    expect(rcode(await client.ask(ask(API, 2)))).toBe(0);
    expect(rig.summaries[0]).toBe('error internal-error 2 api.example.com.');
    expect(rig.recorder.internalErrors.splice(0)).toHaveLength(1);
  });
});

describe('a drain', () => {
  it('waits for what is asked, and serves what comes meanwhile', async () => {
    const rig = await startDnsRig({ script: () => [] });
    const client = await rig.udp();
    client.send(ask(API, 1));
    await rig.server.untilHeard(1);
    const drained = rig.plane.drain();
    client.send(ask(API, 2));
    const heard = await rig.server.untilHeard(2);
    for (const { bytes, answer } of heard) answer(anAnswer(bytes));
    await client.untilAnswers(2);
    await drained;
    expect(client.answers.map((bytes) => bytes.readUInt16BE(0)).sort()).toEqual([1, 2]);
  });

  it('does not wait longer than it may', async () => {
    const rig = await startDnsRig({ script: () => [], limits: { drainTimeoutMs: 1000 } });
    const client = await rig.udp();
    client.send(ask());
    await rig.server.untilHeard(1);
    const drained = rig.plane.drain();
    await settled();
    rig.time.advance(1000);
    await drained;
    expect(rig.summaries).toEqual(['error draining - api.example.com.']);
  });
});
