/** What a writer keeps from one line to the next, and what a batch keeps of its buffers, shows in no line. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RequestRecord } from '../../../src/model/record.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import { LineBatch } from '../../../src/observe/log/batch.ts';
import { ReadableLines } from '../../support/readable_lines.ts';
import { allow, deny, meta, POLICY, record } from '../records.ts';

const METAS = [meta(), meta({ connectionId: 13 })];
const DECISIONS = [null, allow(), allow({ rule: null }), deny(), deny({ layer: 'network' })];
const METHODS = ['GET', 'POST'];
const AUTHORITIES = ['orders:8080', 'other:8080', ''];
const VERDICTS = ['forwarded', 'denied', 'error'] as const;

const anyRecord: fc.Arbitrary<RequestRecord> = fc
  .record({
    meta: fc.constantFrom(...METAS),
    decision: fc.constantFrom(...DECISIONS),
    verdict: fc.constantFrom(...VERDICTS),
    status: fc.constantFrom(0, 200),
    serverName: fc.constantFrom('', 'a.test'),
    head: fc.option(
      fc
        .record({
          method: fc.constantFrom(...METHODS),
          authority: fc.constantFrom(...AUTHORITIES),
          scheme: fc.constantFrom('http', 'https'),
          path: fc.constantFrom('/', '/orders/7'),
        })
        .map((fields) => plainHead(fields)),
    ),
  })
  .map((changes) => record(changes));

describe('lines', () => {
  it('are the same whichever was written before', () => {
    fc.assert(
      fc.property(fc.array(anyRecord, { minLength: 2, maxLength: 8 }), (records) => {
        const one = writer();
        for (const each of records) expect(one.text(each)).toBe(writer().text(each));
      }),
    );
  });

  it('have the labels of the policy in force', () => {
    const one = writer();
    const before = one.text(record());
    one.policyChanged({ ...POLICY, labels: { labelsOf: () => ['k8s:app=renamed'] } }, ['orders']);
    expect(before).toContain('k8s:app=orders');
    expect(one.text(record())).toContain('k8s:app=renamed');
    expect(one.text(record())).toContain('"host":"[redacted]:8080"');
  });
});

describe('a batch', () => {
  it('gives the lines that were added, and leaves what was taken as it is until it is written', () => {
    const line = fc.string({ unit: 'binary-ascii', maxLength: 30_000 });
    const step = fc.record({ lines: fc.array(line, { maxLength: 4 }), isWritten: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const batch = new LineBatch();
        let taken: [readonly Buffer[], string][] = [];
        for (const { lines, isWritten } of steps) {
          for (const each of lines) batch.add(Buffer.from(each, 'latin1'));
          expect(batch.lineCount).toBe(lines.length);
          expect(batch.byteLength).toBe(lines.join('').length);
          taken.push([batch.take(), lines.join('')]);
          for (const [pieces, text] of taken) {
            expect(Buffer.concat(pieces).toString('latin1') === text).toBe(true);
          }
          if (!isWritten) continue;
          batch.written();
          taken = [];
        }
      }),
      { numRuns: 50 },
    );
  });
});

function writer(): ReadableLines {
  const made = new ReadableLines({ headers: [], isQueryLogged: false });
  made.policyChanged(POLICY, []);
  return made;
}
