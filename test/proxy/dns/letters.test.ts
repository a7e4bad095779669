/** Questions go to their server in letters of both cases by chance, and an answer counts only in the same ones. */
import { afterEach, describe, expect, it } from 'vitest';
import {
  ANSWER_FLAGS,
  a,
  message,
  opt,
  question,
  ROOT,
  TO_QUESTION,
  type WireRecord,
  wireName,
} from '../../support/dns_messages.ts';
import {
  anAnswer,
  closeDnsRigs,
  type DnsRigOptions,
  type Heard,
  questionOf,
  startDnsRig,
} from '../../support/dns_rig.ts';

afterEach(closeDnsRigs);

/** Thirty letters: by chance they are all small once in a thousand million times. */
const NAME = 'letters-by-chance-here.example.net';
const API = question(NAME);
const FORGED = '203.0.113.66';
/** How long a server that keeps no letters is remembered. */
const REMEMBERED_MS = 10 * 60_000;

const ask = (asked = API, id = 0x1234): Buffer => message({ id, questions: [asked] });
const start = (options: DnsRigOptions = {}) =>
  startDnsRig({ ...options, behaviour: { isDnsCaseVaried: true, ...options.behaviour } });

function lowered(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('latin1').toLowerCase(), 'latin1');
}

/** The letters of the name in small ones, whatever they were. */
function inSmallLetters({ bytes }: { readonly bytes: Buffer }, ip?: string): Buffer {
  const answer = anAnswer(bytes, ip);
  lowered(questionOf(bytes)).copy(answer, 12);
  return answer;
}

function nameOf({ bytes }: Heard): string {
  return questionOf(bytes).toString('latin1');
}

describe('a question', () => {
  it('goes on in letters that nobody foresees, and is the same name', async () => {
    const rig = await start();
    const client = await rig.udp();
    for (let i = 0; i < 32; i++) await client.ask(ask());
    const names = rig.server.heard.map(nameOf);
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(1);
    // Of 32 spellings of thirty letters none comes twice, or hardly.
    expect(new Set(names).size).toBeGreaterThan(24);
    for (const { bytes } of rig.server.heard) {
      expect(bytes.subarray(2, 12)).toEqual(ask().subarray(2, 12));
      expect(lowered(bytes.subarray(12))).toEqual(lowered(ask().subarray(12)));
    }
  });

  it.each([
    'api.example.com',
    'API.EXAMPLE.COM',
    'aPi.eXample.Com',
    `${'ab-c1'.repeat(9)}.example.net`,
  ])('is answered in the letters of the client: %s', async (name) => {
    const rig = await start();
    const client = await rig.udp();
    for (let i = 0; i < 8; i++) {
      expect(await client.ask(ask(question(name)))).toEqual(anAnswer(ask(question(name))));
    }
    expect(rig.server.heard).toHaveLength(8);
    expect(rig.recorder.ignored).toEqual([]);
  });

  it('also where a server writes the name of a record in full, in the letters of whoever asked first', async () => {
    const records = (owner: Buffer, first: Buffer): WireRecord[] => [
      a(TO_QUESTION, '192.0.2.1'),
      a(owner, '192.0.2.2'),
      a(first, '192.0.2.4'),
      // As a zone has it, in whatever letters it is asked for.
      a(wireName(NAME), '192.0.2.5'),
      a(wireName('Other.Example.com'), '192.0.2.3'),
    ];
    const whole = (id: number, asked: Buffer, first = asked.subarray(0, -4)): Buffer =>
      message({
        id,
        flags: ANSWER_FLAGS,
        questions: [asked],
        answers: records(asked.subarray(0, -4), first),
      });
    const rig = await start({
      script: ({ bytes }) => [
        whole(
          bytes.readUInt16BE(0),
          questionOf(bytes),
          wireName('letters-by-chance-HERE.eXample.net'),
        ),
      ],
    });
    const client = await rig.udp();
    const asked = question('leTTers-by-chance-here.eXample.net');
    expect(await client.ask(ask(asked))).toEqual(whole(0x1234, asked));
  });

  it('that is refused or fails is given back in the letters of the client', async () => {
    const rig = await start({ script: () => [] });
    const client = await rig.udp();
    const evil = await client.ask(ask(question('Evil.Example.org')));
    expect(questionOf(evil)).toEqual(question('Evil.Example.org'));
    rig.server.script = ({ bytes }) => [Buffer.concat([anAnswer(bytes), Buffer.from([0])])];
    const failed = await client.ask(ask(question('Api.Example.com')));
    expect(questionOf(failed)).toEqual(question('Api.Example.com'));
  });

  it('that is signed goes as it is: its signature is over the letters, too', async () => {
    const rig = await start();
    const client = await rig.udp();
    const tsig: WireRecord = { owner: ROOT, type: 250, class: 255, ttl: 0, data: Buffer.alloc(16) };
    const signed = message({ id: 7, questions: [API], additional: [opt(1232), tsig] });
    await client.ask(signed);
    expect(rig.server.heard[0]?.bytes.subarray(2)).toEqual(signed.subarray(2));
  });

  it('by TCP, where nobody else can answer, goes as it is', async () => {
    const rig = await start();
    const client = await rig.tcp();
    client.send(ask());
    await client.untilAnswers(1);
    expect(rig.server.heard[0]?.bytes.subarray(2)).toEqual(ask().subarray(2));
  });

  it('goes as it is where the configuration says so', async () => {
    const rig = await start({ behaviour: { isDnsCaseVaried: false } });
    const client = await rig.udp();
    await client.ask(ask());
    expect(rig.server.heard[0]?.bytes.subarray(2)).toEqual(ask().subarray(2));
  });
});

describe('an answer in other letters', () => {
  it('does not count, though everything else is guessed: the question goes again, with everything fresh', async () => {
    let count = 0;
    const rig = await start({
      script: (heard) => {
        count += 1;
        return count === 1 ? [inSmallLetters(heard, FORGED)] : [anAnswer(heard.bytes)];
      },
    });
    const client = await rig.udp();
    expect(await client.ask(ask())).toEqual(anAnswer(ask()));
    const [first, second] = rig.server.heard;
    expect(second?.port).not.toBe(first?.port);
    expect(second?.bytes.readUInt16BE(0)).not.toBe(first?.bytes.readUInt16BE(0));
    expect(rig.recorder.ignored).toEqual(['upstream']);
    expect(rig.summaries).toEqual(['forwarded allowed 0 letters-by-chance-here.example.net.']);
    // Nothing is remembered of one guess.
    await client.ask(ask());
    expect(rig.server.heard).toHaveLength(3);
    expect(nameOf(rig.server.heard[2] as Heard)).not.toBe(API.toString('latin1'));
  });

  it('twice in a row is what the server does: it is asked as the client spells it, and so it stays', async () => {
    const rig = await start({ script: (heard) => [inSmallLetters(heard)] });
    const client = await rig.udp();
    const asked = ask(question('leTTers-by-chance-here.example.net'));
    // What the server wrote: a client that varies letters itself sees that they are not its own.
    expect(await client.ask(asked)).toEqual(inSmallLetters({ bytes: asked }));
    expect(rig.server.heard.map(nameOf)[2]).toBe(questionOf(asked).toString('latin1'));
    for (let i = 0; i < 4; i++) await client.ask(asked);
    expect(rig.server.heard).toHaveLength(3 + 4);
    expect(new Set(rig.server.heard.slice(2).map(nameOf)).size).toBe(1);
    expect(rig.summaries).toHaveLength(5);
    expect(new Set(rig.summaries)).toEqual(
      new Set(['forwarded allowed 0 letters-by-chance-here.example.net.']),
    );
  });

  it('is forgotten after a while: another server may be there', async () => {
    const rig = await start({ script: (heard) => [inSmallLetters(heard)] });
    const client = await rig.udp();
    await client.ask(ask());
    rig.time.advance(REMEMBERED_MS);
    rig.server.script = ({ bytes }) => [anAnswer(bytes)];
    await client.ask(ask());
    await client.ask(ask());
    expect(rig.server.heard).toHaveLength(3 + 2);
    expect(new Set(rig.server.heard.slice(3).map(nameOf)).has(API.toString('latin1'))).toBe(false);
  });

  it('counts towards the time that the question has, however often it goes', async () => {
    const rig = await start({
      script: (heard) => (rig.server.heard.length === 1 ? [inSmallLetters(heard, FORGED)] : []),
      limits: { dnsAnswerTimeoutMs: 5000 },
    });
    const client = await rig.udp();
    client.send(ask());
    await rig.server.untilHeard(2);
    rig.time.advance(5100);
    expect(rig.summaries).toEqual(['error answer-timeout - letters-by-chance-here.example.net.']);
    expect(client.answers).toEqual([]);
  });

  it('does not bring a question to its server that policy denies by then', async () => {
    const rig = await start({ script: () => [] });
    const client = await rig.udp();
    client.send(ask());
    const [heard] = await rig.server.untilHeard(1);
    rig.update(`
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: names, namespace: default }
spec: { endpointSelector: { matchLabels: { app: client } }, egress: [{}] }
`);
    heard?.answer(inSmallLetters(heard));
    const [answer] = await client.untilAnswers(1);
    expect((answer?.readUInt16BE(2) ?? 0) & 0xf).toBe(5);
    expect(rig.server.heard).toHaveLength(1);
  });
});
