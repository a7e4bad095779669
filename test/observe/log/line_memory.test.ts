/** What a client wrote is not kept once its line is made, however many clients write how much. */
import { describe, expect, it } from 'vitest';
import type { RequestRecord } from '../../../src/model/record.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import { collectGarbage } from '../../support/collect_garbage.ts';
import { ReadableLines } from '../../support/readable_lines.ts';
import { deny, meta, POLICY, record } from '../records.ts';

const CONNECTION_COUNT = 1024;
/** Of a head of the greatest length. */
const LONG = 60_000;
const GET = { method: 'GET', authority: 'a.test', path: '/' };
const KEPT_BYTES_MAX = 4 * 1024 * 1024;

describe('after a line of each of many connections nothing is kept of', () => {
  const cases: readonly [about: string, changes: (text: string) => Partial<RequestRecord>][] = [
    ['a long method', (text) => ({ head: plainHead({ ...GET, method: text }) })],
    ['a long host', (text) => ({ head: plainHead({ ...GET, authority: text }) })],
    ['a value that was rejected', (text) => ({ decision: deny({ rejected: [['x', text]] }) })],
    ['a value that was missing', (text) => ({ decision: deny({ missing: [['x', text]] }) })],
  ];
  it.each(cases)('%s', async (_, changes) => {
    const writer = new ReadableLines({ headers: [], isQueryLogged: false });
    writer.policyChanged(POLICY, []);
    await collectGarbage();
    const before = heldBytes();
    for (let connectionId = 0; connectionId < CONNECTION_COUNT; connectionId++) {
      const text = Buffer.alloc(LONG, `${connectionId}.`).toString('latin1');
      writer.line(record({ meta: meta({ connectionId }), ...changes(text) }));
    }
    await collectGarbage();
    expect(heldBytes() - before).toBeLessThan(KEPT_BYTES_MAX);
    // Alive until here.
    expect(writer.text(record())).toContain('"connection_id":12');
  });
});

function heldBytes(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
