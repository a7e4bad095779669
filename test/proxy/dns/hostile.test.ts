/** Whatever a client or a server sends: what goes on was judged, and what comes back is to the question. */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { readQuery } from '../../../src/codec/dns/query.ts';
import { message, opt, question } from '../../support/dns_messages.ts';
import { anAnswer, closeDnsRigs, questionOf, startDnsRig } from '../../support/dns_rig.ts';
import { runs } from '../../support/property_runs.ts';

afterEach(closeDnsRigs);

const NAMES = ['api.example.com', 'a.example.net', 'evil.example.org', 'api.example.com.evil.org'];
const LAST_ID = 0xbeef;

/** A few bytes are others, some are cut off or come behind. */
const damage = fc.record({
  edits: fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }),
  cut: fc.option(fc.nat(60), { nil: 0, freq: 3 }),
  tail: fc.uint8Array({ maxLength: 3 }),
});

function damaged(
  bytes: Buffer,
  { edits, cut, tail }: { edits: [number, number][]; cut: number; tail: Uint8Array },
): Buffer {
  const other = Buffer.from(bytes.subarray(0, Math.max(0, bytes.length - cut)));
  for (const [at, value] of edits) if (at < other.length) other[at] = value;
  return Buffer.concat([other, tail]);
}

function asked(name: string, id: number): Buffer {
  return message({ id, questions: [question(name)], additional: [opt(1232)] });
}

/** All behind the id, whatever its letters. */
function inSmall(bytes: Buffer): string {
  return bytes.subarray(2).toString('latin1').toLowerCase();
}

const LETTERS = [
  ['in the letters of the client', false],
  ['in letters by chance', true],
] as const;

describe.each(LETTERS)('whatever a client sends, %s', (_, isDnsCaseVaried) => {
  it('its server hears only what is allowed, as it was sent', async () => {
    const rig = await startDnsRig({ behaviour: { isDnsCaseVaried } });
    const client = await rig.udp();
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...NAMES), fc.nat(0xffff), damage, async (name, id, how) => {
        const sent = damaged(asked(name, id), how);
        const before = rig.server.heard.length;
        client.send(sent);
        await untilLast();
        const heard = rig.server.heard.slice(before).map(({ bytes }) => bytes);
        const foreign = heard.filter(
          (bytes) => inSmall(bytes) !== inSmall(asked(NAMES[0] as string, 0)),
        );
        for (const bytes of foreign) {
          expect(inSmall(bytes)).toBe(inSmall(sent));
          const reading = readQuery(bytes);
          expect(reading.kind === 'query' && reading.query.question.name).toMatch(
            /^(api\.example\.com|[^.]+\.example\.net)\.$/,
          );
        }
      }),
      runs(100),
    );

    /** All that was sent before it has been taken. */
    async function untilLast(): Promise<void> {
      const isLast = (bytes: Buffer): boolean =>
        bytes.length > 12 && bytes.readUInt16BE(0) === LAST_ID && (bytes[3] as number) % 16 === 0;
      const count = client.answers.filter(isLast).length;
      client.send(asked(NAMES[0] as string, LAST_ID));
      for (
        let least = client.answers.length + 1;
        client.answers.filter(isLast).length === count;
        least = client.answers.length + 1
      ) {
        await client.untilAnswers(least);
      }
    }
  });
});

describe.each(LETTERS)('whatever a server sends to what is asked %s', (_, isDnsCaseVaried) => {
  it.each(['udp', 'tcp'] as const)(
    'the client hears of its own question only: %s',
    async (transport) => {
      let how: Parameters<typeof damaged>[1] = { edits: [], cut: 0, tail: new Uint8Array() };
      const rig = await startDnsRig({
        behaviour: { isDnsCaseVaried },
        script: ({ bytes }) => [damaged(anAnswer(bytes), how), anAnswer(bytes)],
      });
      const client = await rig[transport]();
      await fc.assert(
        fc.asyncProperty(fc.nat(0xffff), damage, async (id, next) => {
          how = next;
          const count = client.answers.length + 1;
          client.send(asked(NAMES[1] as string, id));
          const answer = (await client.untilAnswers(count))[count - 1] as Buffer;
          expect(answer.readUInt16BE(0)).toBe(id);
          expect((answer[2] as number) & 0x80).toBe(0x80);
          if (answer.readUInt16BE(4) > 0)
            expect(inSmall(questionOf(answer))).toBe(inSmall(question(NAMES[1] as string)));
        }),
        runs(100),
      );
      expect(client.answers.length).toBe(rig.summaries.length);
    },
  );
});
