/** What a writer keeps from one line to the next, and what a batch keeps of its buffers, shows in no line. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { IpText } from '../../../src/model/address.ts';
import type { Identity } from '../../../src/model/identity.ts';
import type { RequestRecord } from '../../../src/model/record.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import { LineBatch } from '../../../src/observe/log/batch.ts';
import type { ObservedPolicy } from '../../../src/observe/observed_policy.ts';
import { ReadableLines } from '../../support/readable_lines.ts';
import { address, allow, deny, meta, POLICY, record } from '../records.ts';

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

/** Of few clients and servers, so that most have something in common with one before. */
const anyQuestion: fc.Arbitrary<RequestRecord> = fc
  .record({
    connectionId: fc.nat(1000),
    listener: fc.constantFrom('dns', 'other'),
    direction: fc.constantFrom('ingress' as const, 'egress' as const),
    source: fc.constantFrom('10.0.0.7:40100', '10.0.0.7:40101', '10.0.1.9:53', '[2001:db8::1]:53'),
    destination: fc.constantFrom('10.0.0.7:53', '10.0.0.7:5353', '10.0.0.10:53'),
    remoteIdentity: fc.constantFrom(43 as Identity, 1001 as Identity),
    decision: fc.constantFrom(...DECISIONS),
    verdict: fc.constantFrom(...VERDICTS),
    name: fc.constantFrom('', 'a.test.', 'a\\.b.test.', '"\u007f\u00e9\u0000'),
    ips: fc.subarray(['192.0.2.1', '2001:db8::2'] as IpText[]),
    rcode: fc.constantFrom(null, 0, 3, 77),
  })
  .map(({ source, destination, decision, verdict, name, ips, rcode, ...connection }) => {
    const ends = { source: address(source), destination: address(destination) };
    const endpointIp = ends[connection.direction === 'egress' ? 'source' : 'destination'].ip;
    return record({
      meta: meta({ ...connection, ...ends, endpointIp, transport: 'UDP' }),
      head: null,
      status: 0,
      decision,
      verdict,
      question: { name, type: 'A', rcode, ips, ttlSeconds: 5 },
    });
  });

const SERVED: ObservedPolicy = {
  ...POLICY,
  services: { named: ({ port }) => (port === 53 ? 'kube-system/kube-dns' : null) },
};

describe('lines of datagrams', () => {
  it('are the same whichever was written before', () => {
    fc.assert(
      fc.property(fc.array(anyQuestion, { minLength: 2, maxLength: 12 }), (records) => {
        const one = writer(SERVED);
        for (const each of records) {
          const line = one.text(each);
          expect(line).toBe(writer(SERVED).text(each));
          expect(line).toContain(`"connection_id":${each.meta.connectionId},`);
          expect(JSON.parse(line)).toMatchObject({
            src: each.meta.source.port === 53 ? { service: 'kube-system/kube-dns' } : {},
          });
        }
      }),
    );
  });

  it('have the labels of the policy in force', () => {
    const asked = record({
      meta: meta({ transport: 'UDP' }),
      head: null,
      status: 0,
      question: { name: 'a.', type: 'A', rcode: 0, ips: [], ttlSeconds: 0 },
    });
    const one = writer();
    expect(one.text(asked)).toContain('k8s:app=orders');
    one.policyChanged({ ...POLICY, labels: { labelsOf: () => ['k8s:app=renamed'] } }, []);
    expect(one.text({ ...asked, meta: { ...asked.meta } })).toContain('k8s:app=renamed');
  });
});

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

function writer(policy: ObservedPolicy = POLICY): ReadableLines {
  const made = new ReadableLines({ headers: [], isQueryLogged: false });
  made.policyChanged(policy, []);
  return made;
}
