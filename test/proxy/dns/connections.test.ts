/** Questions by TCP: pipelined, answered in any order, bounded, and never shared between clients. */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { framedMessage } from '../../../src/codec/dns/tcp_messages.ts';
import {
  ANSWER_FLAGS,
  a,
  message,
  question,
  TO_QUESTION,
  wireName,
} from '../../support/dns_messages.ts';
import {
  allowNames,
  anAnswer,
  closeDnsRigs,
  type Heard,
  questionOf,
  startDnsRig,
} from '../../support/dns_rig.ts';
import { runs } from '../../support/property_runs.ts';
import { settled } from '../../support/settled.ts';
import { until } from '../../support/until.ts';

afterEach(closeDnsRigs);

const API = question('api.example.com');
const EVIL = question('evil.example.org');

const ask = (id: number, asked = API): Buffer => message({ id, questions: [asked] });
const idOf = (bytes: Buffer): number => bytes.readUInt16BE(0);
const rcode = (bytes: Buffer): number => bytes.readUInt16BE(2) & 0xf;

function under(id: number, bytes: Buffer): Buffer {
  bytes.writeUInt16BE(id, 0);
  return bytes;
}

describe('questions on one connection', () => {
  it('are answered by the server or by us, each under its id', async () => {
    const rig = await startDnsRig();
    const client = await rig.tcp();
    client.send(ask(1), ask(2, EVIL), message({ id: 3, questions: [API, API] }), ask(4));
    const answers = await client.untilAnswers(4);
    expect(answers.map((bytes) => [idOf(bytes), rcode(bytes)]).sort()).toEqual([
      [1, 0],
      [2, 5],
      [3, 1],
      [4, 0],
    ]);
    expect(rig.server.heard).toHaveLength(2);
    expect(rig.server.acceptedCount).toBe(1);
    expect([...rig.summaries].sort()).toEqual(
      [
        'denied no-dns-rule-matched 5 evil.example.org.',
        'error malformed-question 1 connection',
        'forwarded allowed 0 api.example.com.',
        'forwarded allowed 0 api.example.com.',
      ]
        .map((text) => text.replace(' connection', ' '))
        .sort(),
    );
    expect(rig.recorder.records[0]?.meta.transport).toBe('TCP');
  });

  it('are answered in whatever order the server does, also those with the same id', async () => {
    const rig = await startDnsRig({ script: () => [] });
    const client = await rig.tcp();
    const names = ['a', 'b', 'c', 'd'].map((label) => question(`${label}.example.net`));
    client.send(...names.map((asked) => ask(7, asked)));
    const heard = await rig.server.untilHeard(4);
    expect(new Set(heard.map(({ bytes }) => idOf(bytes))).size).toBe(4);
    for (const { bytes, answer } of [...heard].reverse()) answer(anAnswer(bytes));
    const answers = await client.untilAnswers(4);
    expect(answers.map(idOf)).toEqual([7, 7, 7, 7]);
    expect(answers.map(questionOf)).toEqual([...names].reverse());
  });

  it('mean the same however they are cut', async () => {
    const bytes = Buffer.concat([ask(1), ask(2, EVIL), ask(3)].map(framedMessage));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.integer({ min: 1, max: bytes.length - 1 })),
        async (cuts) => {
          const rig = await startDnsRig();
          const client = await rig.tcp();
          client.socket.setNoDelay(true);
          let from = 0;
          for (const cut of [...cuts.sort((one, other) => one - other), bytes.length]) {
            client.socket.write(bytes.subarray(from, cut));
            from = cut;
            await settled();
          }
          const answers = await client.untilAnswers(3);
          expect(answers.map((one) => [idOf(one), rcode(one)]).sort()).toEqual([
            [1, 0],
            [2, 5],
            [3, 0],
          ]);
          closeDnsRigs();
        },
      ),
      runs(6),
    );
  });

  it('of two clients go on over two connections', async () => {
    const rig = await startDnsRig();
    const [one, other] = [await rig.tcp(), await rig.tcp('127.0.0.2')];
    one.send(ask(1));
    other.send(ask(1));
    await Promise.all([one.untilAnswers(1), other.untilAnswers(1)]);
    expect(rig.server.acceptedCount).toBe(2);
  });

  it('are read no faster than they are answered', async () => {
    const rig = await startDnsRig({ script: () => [], limits: { dnsPipelinedCountMax: 3 } });
    const client = await rig.tcp();
    client.send(...Array.from({ length: 10 }, (_, i) => ask(i)));
    const heard = await rig.server.untilHeard(3);
    await settled();
    expect(heard).toHaveLength(3);
    rig.server.script = ({ bytes }) => [anAnswer(bytes)];
    for (const { bytes, answer } of heard.slice()) answer(anAnswer(bytes));
    const answers = await client.untilAnswers(10);
    expect(answers.map(idOf).sort((one, two) => one - two)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('are answered after the client has sent its end', async () => {
    const rig = await startDnsRig({ script: () => [] });
    const client = await rig.tcp();
    client.send(ask(1), ask(2));
    client.socket.end();
    const heard = await rig.server.untilHeard(2);
    await settled();
    for (const { bytes, answer } of heard) answer(anAnswer(bytes));
    await client.untilAnswers(2);
    await client.untilOver();
    expect(client.wasReset).toBe(false);
    expect(await rig.recorder.untilClosed(1)).toEqual(['finished']);
  });

  it('whose client is gone are recorded, and asked no longer', async () => {
    const rig = await startDnsRig({ script: () => [] });
    const client = await rig.tcp();
    client.send(ask(1), ask(2));
    await rig.server.untilHeard(2);
    client.socket.resetAndDestroy();
    await rig.recorder.untilRecords(2);
    expect(rig.summaries).toEqual(Array(2).fill('error downstream-closed - api.example.com.'));
    expect(rig.plane.connectionCount).toBe(0);
  });

  it('that were allowed when they were asked get no answer when they are denied', async () => {
    const rig = await startDnsRig({ script: () => [] });
    const client = await rig.tcp();
    client.send(ask(1));
    const [heard] = await rig.server.untilHeard(1);
    rig.update(allowNames('www.example.com'));
    heard?.answer(anAnswer(heard.bytes));
    const [answer] = await client.untilAnswers(1);
    expect(rcode(answer as Buffer)).toBe(5);
    expect(answer?.readUInt16BE(6)).toBe(0);
  });

  it('end with the connection when nothing of it is allowed any more', async () => {
    const rig = await startDnsRig({ script: () => [] });
    const client = await rig.tcp();
    client.send(ask(1));
    await rig.server.untilHeard(1);
    rig.update(allowNames('api.example.com').replace('"53"', '"54"'));
    await client.untilOver();
    expect(client.answers).toEqual([]);
    expect([...rig.summaries].sort()).toEqual([
      'denied policy-changed - api.example.com.',
      'denied policy-changed - connection',
    ]);
  });
});

describe('a connection', () => {
  it('that policy allows nothing on is reset before it asks', async () => {
    const rig = await startDnsRig();
    const client = await rig.tcp('127.0.0.9');
    await client.untilOver();
    expect(rig.summaries).toEqual(['denied no-policy - connection']);
  });

  it('that asks nothing is closed after a while', async () => {
    const rig = await startDnsRig({ limits: { dnsTcpIdleTimeoutMs: 5000 } });
    const client = await rig.tcp();
    await rig.recorder.untilOpened(1);
    rig.time.advance(4999);
    await settled();
    expect(client.isOver).toBe(false);
    rig.time.advance(100);
    await client.untilOver();
    expect(client.wasReset).toBe(false);
  });

  it('that sends what is no question is closed as one that asks nothing', async () => {
    const rig = await startDnsRig({ limits: { dnsTcpIdleTimeoutMs: 5000 } });
    const client = await rig.tcp();
    for (let sent = 1; sent <= 5; sent++) {
      client.send(Buffer.alloc(0));
      await until(() => rig.recorder.ignored.length === sent);
      rig.time.advance(1000);
    }
    await client.untilOver();
    expect(await rig.recorder.untilClosed(1)).toEqual(['timeout']);
  });

  it('that sends a question byte by byte is closed as one that asks nothing', async () => {
    const rig = await startDnsRig({ limits: { dnsTcpIdleTimeoutMs: 5000 } });
    const client = await rig.tcp();
    await rig.recorder.untilOpened(1);
    for (const byte of framedMessage(ask(1)).subarray(0, 6)) {
      client.socket.write(Buffer.from([byte]));
      await settled();
      rig.time.advance(1000);
    }
    await client.untilOver();
    expect(await rig.recorder.untilClosed(1)).toEqual(['timeout']);
  });

  it('whose server does not answer stays, silent, until it is idle', async () => {
    const rig = await startDnsRig({
      script: () => [],
      limits: { dnsAnswerTimeoutMs: 1000, dnsTcpIdleTimeoutMs: 5000 },
    });
    const client = await rig.tcp();
    client.send(ask(1));
    await rig.server.untilHeard(1);
    rig.time.advance(1001);
    await rig.recorder.untilRecords(1);
    expect(rig.summaries).toEqual(['error answer-timeout - api.example.com.']);
    // Late: as if it had not come.
    const [late] = rig.server.heard as [Heard];
    late.answer(anAnswer(late.bytes));
    rig.server.script = ({ bytes }) => [anAnswer(bytes)];
    client.send(ask(2));
    expect((await client.untilAnswers(1)).map(idOf)).toEqual([2]);
    expect(rig.recorder.ignored).toEqual(['upstream']);
  });

  it('with a question that is longer than it may be is reset', async () => {
    const rig = await startDnsRig({ limits: { dnsQuestionBytesMax: 512 } });
    const client = await rig.tcp();
    client.socket.write(Buffer.concat([Buffer.from([0xff, 0xff]), Buffer.alloc(600)]));
    await client.untilOver();
    expect(client.answers).toEqual([]);
    expect(rig.recorder.records[0]).toMatchObject({ fault: 'malformed-question' });
  });

  it('with messages that are no questions hears nothing of them', async () => {
    const rig = await startDnsRig();
    const client = await rig.tcp();
    client.send(anAnswer(ask(1)), Buffer.alloc(3), Buffer.alloc(0), ask(2));
    expect((await client.untilAnswers(1)).map(idOf)).toEqual([2]);
    expect(rig.recorder.ignored).toEqual(Array(3).fill('downstream'));
  });

  it('is drained when it has its answers', async () => {
    const rig = await startDnsRig({ script: () => [] });
    const [busy, idle] = [await rig.tcp(), await rig.tcp()];
    busy.send(ask(1));
    const [heard] = await rig.server.untilHeard(1);
    const drained = rig.plane.drain();
    await idle.untilOver();
    busy.send(ask(2));
    await settled();
    heard?.answer(anAnswer(heard.bytes));
    await busy.untilAnswers(1);
    await busy.untilOver();
    busy.socket.end();
    idle.socket.end();
    await drained;
    expect(rig.server.heard).toHaveLength(1);
  });
});

describe('a server', () => {
  it('that closes while nothing is asked is asked anew', async () => {
    const rig = await startDnsRig({
      script: ({ bytes, answer, close }) => {
        answer(anAnswer(bytes));
        setImmediate(close);
        return [];
      },
    });
    const client = await rig.tcp();
    for (let i = 1; i <= 3; i++) {
      client.send(ask(i));
      await client.untilAnswers(i);
    }
    expect(client.answers.map(rcode)).toEqual([0, 0, 0]);
  });

  it('that was tired of the connection is asked once more', async () => {
    let count = 0;
    const rig = await startDnsRig({
      script: ({ bytes, close }) => {
        count++;
        if (count !== 2) return [anAnswer(bytes)];
        close();
        return [];
      },
    });
    const client = await rig.tcp();
    client.send(ask(1));
    await client.untilAnswers(1);
    client.send(ask(2));
    expect((await client.untilAnswers(2)).map(rcode)).toEqual([0, 0]);
    expect(rig.server.acceptedCount).toBe(2);
  });

  it('that closes on every question is SERVFAIL, and not asked for ever', async () => {
    const rig = await startDnsRig({
      script: ({ close }) => {
        close();
        return [];
      },
    });
    const client = await rig.tcp();
    client.send(ask(1));
    expect((await client.untilAnswers(1)).map(rcode)).toEqual([2]);
    expect(rig.server.heard).toHaveLength(1);
  });

  it('that is not there is SERVFAIL', async () => {
    const rig = await startDnsRig({ upstreamPort: 1 });
    const client = await rig.tcp();
    client.send(ask(1), ask(2));
    expect((await client.untilAnswers(2)).map(rcode)).toEqual([2, 2]);
    expect(rig.summaries).toEqual(Array(2).fill('error connect-failed 2 api.example.com.'));
  });

  it('may answer with as many bytes as a message can have', async () => {
    const rig = await startDnsRig({
      script: ({ bytes }) => {
        const start = anAnswer(bytes);
        const filler = 65_535 - start.length - 11;
        const record = { owner: Buffer.from([0]), type: 65_280, data: Buffer.alloc(filler, 7) };
        const whole = message({
          flags: ANSWER_FLAGS,
          questions: [questionOf(bytes)],
          answers: [a(TO_QUESTION, '192.0.2.1')],
          additional: [record],
        });
        return [under(idOf(bytes), whole)];
      },
    });
    const client = await rig.tcp();
    client.send(ask(1));
    const [answer] = await client.untilAnswers(1);
    expect(answer).toHaveLength(65_535);
  });

  it('whose answer cannot be read is SERVFAIL, for this question only', async () => {
    const rig = await startDnsRig({
      script: ({ bytes }) => {
        const answer = anAnswer(bytes);
        return [questionOf(bytes).includes('bad') ? answer.subarray(0, -1) : answer];
      },
    });
    const client = await rig.tcp();
    client.send(ask(1, question('bad.example.net')), ask(2));
    const answers = await client.untilAnswers(2);
    expect(answers.map((bytes) => [idOf(bytes), rcode(bytes)]).sort()).toEqual([
      [1, 2],
      [2, 0],
    ]);
  });

  it.each<[string, (bytes: Buffer) => Buffer]>([
    ['another id', (bytes) => under((idOf(bytes) + 1) & 0xffff, anAnswer(bytes))],
    ['another name', (bytes) => under(idOf(bytes), anAnswer(ask(0, EVIL)))],
    ['nothing', () => Buffer.alloc(0)],
    ['a question in its place', (bytes) => Buffer.from(bytes)],
  ])('that answers something else has not answered: %s', async (_, forge) => {
    const rig = await startDnsRig({ script: ({ bytes }) => [forge(bytes), anAnswer(bytes)] });
    const client = await rig.tcp();
    client.send(ask(1));
    expect(await client.untilAnswers(1)).toEqual([anAnswer(ask(1))]);
    expect(rig.recorder.ignored).toEqual(['upstream']);
  });

  it('is read no faster than the client reads, and nothing is lost', async () => {
    const big = (bytes: Buffer): Buffer =>
      under(
        idOf(bytes),
        message({
          flags: ANSWER_FLAGS,
          questions: [questionOf(bytes)],
          additional: [{ owner: Buffer.from([0]), type: 65_280, data: Buffer.alloc(60_000) }],
        }),
      );
    const rig = await startDnsRig({ script: ({ bytes }) => [big(bytes)] });
    const client = await rig.tcp();
    client.socket.pause();
    const count = 600;
    client.send(...Array.from({ length: count }, (_, i) => ask(i)));
    // What the kernel and the bounds of both sides take is far less than all.
    await rig.server.untilHeard(20);
    await settled();
    expect(rig.server.heard.length).toBeLessThan(count);
    client.socket.resume();
    const answers = await client.untilAnswers(count);
    expect(answers.map(idOf).sort((one, two) => one - two)).toEqual(
      Array.from({ length: count }, (_, i) => i),
    );
  });
});

describe('a transfer', () => {
  const AXFR = question('zone.example.net', 252);
  const part = (bytes: Buffer, host: number, hasQuestion: boolean): Buffer =>
    under(
      idOf(bytes),
      message({
        flags: ANSWER_FLAGS,
        questions: hasQuestion ? [questionOf(bytes)] : [],
        answers: [a(wireName('www.zone.example.net'), `192.0.2.${host}`)],
      }),
    );

  it('is as many messages as the server sends, with the question or without', async () => {
    const rig = await startDnsRig({
      script: ({ bytes }) => [part(bytes, 1, true), part(bytes, 2, false), part(bytes, 3, true)],
    });
    const client = await rig.tcp();
    client.send(ask(9, AXFR));
    const answers = await client.untilAnswers(3);
    expect(answers.map(idOf)).toEqual([9, 9, 9]);
    // It is over when nothing comes any more: one record for all of it.
    expect(rig.summaries).toEqual([]);
    rig.time.advance(10_001);
    expect(rig.summaries).toEqual(['forwarded allowed 0 zone.example.net.']);
  });

  it('that the server ends is ended for the client', async () => {
    const rig = await startDnsRig({ script: ({ bytes }) => [part(bytes, 1, true)] });
    const client = await rig.tcp();
    client.send(ask(9, AXFR));
    await client.untilAnswers(1);
    rig.server.heard[0]?.close();
    await client.untilOver();
    expect(rig.summaries).toEqual(['forwarded allowed 0 zone.example.net.']);
  });

  it('is judged again with each of its messages', async () => {
    const rig = await startDnsRig({ script: ({ bytes }) => [part(bytes, 1, true)] });
    const client = await rig.tcp();
    client.send(ask(9, AXFR));
    await client.untilAnswers(1);
    rig.update(allowNames('api.example.com'));
    const [heard] = rig.server.heard as [Heard];
    heard.answer(part(heard.bytes, 2, false));
    heard.answer(part(heard.bytes, 3, false));
    const answers = await client.untilAnswers(2);
    expect(answers.map(rcode)).toEqual([0, 5]);
    await settled();
    expect(client.answers).toHaveLength(2);
  });

  it('by UDP is one message, as any other question', async () => {
    const rig = await startDnsRig({
      script: ({ bytes }) => [part(bytes, 1, true), part(bytes, 2, false)],
    });
    const client = await rig.udp();
    await client.ask(ask(9, AXFR));
    await settled();
    expect(client.answers).toHaveLength(1);
  });
});
