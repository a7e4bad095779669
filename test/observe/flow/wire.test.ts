/** Flows on their way: what is decoded is what was written, and anything else is refused. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ProxyFlow } from '../../../src/model/flow.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import { decodeBatch, flowCountOf } from '../../../src/observe/flow/wire/decode_batch.ts';
import {
  FlowBatch,
  TEXT_LENGTH_MAX,
  WIRE_VERSION,
} from '../../../src/observe/flow/wire/flow_batch.ts';
import { runs } from '../../support/property_runs.ts';
import { flowMaker } from '../observing.ts';
import { POLICY, record } from '../records.ts';
import { anyFlows, ORIGIN } from './any_flow.ts';

function encoded(flows: Iterable<Parameters<FlowBatch['add']>[0]>): Uint8Array {
  const batch = new FlowBatch(ORIGIN);
  for (const flow of flows) batch.add(flow);
  return batch.take();
}

describe('a batch', () => {
  it('has the flows that were written, the ones after another batch too', () => {
    const batch = new FlowBatch(ORIGIN);
    fc.assert(
      fc.property(anyFlows, (flows) => {
        if (flows.length === 0) return;
        for (const flow of flows) batch.add(flow);
        const bytes = batch.take();
        expect(flowCountOf(bytes)).toBe(flows.length);
        expect(decodeBatch(bytes)).toEqual([...flows]);
      }),
      runs(300),
    );
  });

  it('tells where flows were left out', () => {
    const flow = flowMaker();
    flow.policyChanged(POLICY, []);
    const batch = new FlowBatch(ORIGIN);
    batch.addLost(3);
    batch.add(flow.take(record()));
    batch.addLost(2);
    const items = decodeBatch(batch.take());
    expect(items.map((item) => (typeof item === 'number' ? item : 'flow'))).toEqual([3, 'flow', 2]);
  });

  it('keeps flows of one object apart', () => {
    const flow = flowMaker();
    flow.policyChanged(POLICY, []);
    const bytes = encoded(
      (function* () {
        for (const bytesIn of [1, 2, 3]) yield flow.take(record({ bytesIn }));
      })(),
    );
    const decoded = decodeBatch(bytes) as readonly ProxyFlow[];
    expect(decoded.map(({ bytesIn }) => bytesIn)).toEqual([1, 2, 3]);
    expect(new Set(decoded.map(({ number }) => number)).size).toBe(3);
  });

  it('has of a text so much, and says so', () => {
    const flow = flowMaker();
    const path = `/${'x'.repeat(60_000)}`;
    flow.policyChanged(POLICY, []);
    const head = plainHead({ method: 'GET', authority: 'a.test', path });
    const bytes = encoded([flow.take(record({ head }))]);
    expect(bytes.length).toBeLessThan(2 * TEXT_LENGTH_MAX);
    const [decoded] = decodeBatch(bytes) as readonly ProxyFlow[];
    expect(decoded?.facts).toMatchObject({ isCut: true, path: path.slice(0, TEXT_LENGTH_MAX) });
  });

  it('of another version is refused', () => {
    const bytes = encoded([flowMaker().take(record())]);
    bytes[0] = WIRE_VERSION + 1;
    expect(() => decodeBatch(bytes)).toThrow(RangeError);
  });

  it('that is cut off or damaged is refused or is other flows, and never anything else', () => {
    const flow = flowMaker();
    flow.policyChanged(POLICY, []);
    const whole = encoded([flow.take(record())]);
    for (let length = 0; length < whole.length; length++) {
      expect(() => decodeBatch(whole.slice(0, length))).toThrow(RangeError);
    }
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
        const damaged = whole.slice();
        damaged[at] = byte;
        try {
          decodeBatch(damaged);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
      runs(2000),
    );
  });
});
