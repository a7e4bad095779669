/** What Hubble's clients are told of our flows. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { extensionsOf } from '../../../src/hubble/flow/extensions.ts';
import { messageJson, messageOfJson } from '../../../src/hubble/flow/flow_json.ts';
import { goHeaderName, goUrl } from '../../../src/hubble/flow/go_forms.ts';
import { hubbleFlows } from '../../../src/hubble/flow/hubble_flows.ts';
import { FlowSchema } from '../../../src/hubble/generated/flow/flow_pb.ts';
import type { Flow } from '../../../src/model/flow.ts';
import { anyFlows } from '../../observe/flow/any_flow.ts';
import { runs } from '../../support/property_runs.ts';
import { type FlowCase, flowCases, NAMING } from './flow_cases.ts';

describe('a flow of ours is, for clients of Hubble,', () => {
  it.each(flowCases)('$name', ({ flow, expected }) => {
    const told = hubbleFlows(flow, NAMING).map((one) => messageJson(FlowSchema, one));
    expect(told).toMatchObject(expected);
    expect(told).toHaveLength(expected.length);
  });
});

describe('any flow', () => {
  it('is told by messages that can be sent and written, each with an id of its own', () => {
    fc.assert(
      fc.property(anyFlows, (flows) => {
        const told = flows.flatMap((flow) => hubbleFlows(flow, NAMING));
        for (const flow of told) {
          expect(fromBinary(FlowSchema, toBinary(FlowSchema, flow))).toEqual(flow);
          expect(messageOfJson(FlowSchema, messageJson(FlowSchema, flow))).toEqual(flow);
        }
      }),
      runs(100),
    );
  });

  it.each([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'has an extension that is JSON when it took %s milliseconds',
    (ms) => {
      const { flow } = flowCases[0] as FlowCase;
      const odd = { ...flow, durationMs: ms, overheadMs: ms } as Flow;
      const whole = create(FlowSchema, { extensions: extensionsOf(odd) });
      expect(messageJson(FlowSchema, whole)).toMatchObject({
        extensions: { value: { durationMs: 0, overheadMs: 0 } },
      });
      const told = hubbleFlows(odd, NAMING);
      for (const one of told) expect(() => toBinary(FlowSchema, one)).not.toThrow();
    },
  );

  it('has an extension that is JSON', () => {
    fc.assert(
      fc.property(anyFlows, (flows) => {
        for (const flow of flows) {
          const whole = create(FlowSchema, { extensions: extensionsOf(flow) });
          expect(messageJson(FlowSchema, whole)).toMatchObject({
            extensions: { value: { origin: flow.origin } },
          });
        }
      }),
      runs(50),
    );
  });
});

describe('both flows of one', () => {
  it('have other ids, and those of the next flow are others again', () => {
    const { flow } = flowCases[0] as FlowCase;
    const next: Flow = { ...flow, number: flow.number + 1 };
    const ids = [flow, next].flatMap((one) => hubbleFlows(one, NAMING)).map(({ uuid }) => uuid);
    expect(new Set(ids).size).toBe(4);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  });
});

/** As net/url and net/http of Go 1.26 give it. */
describe('texts are as Go writes them:', () => {
  it.each([
    ['/a/../b//c', 'http://h/a/../b//c'],
    ['*', 'http://h/*'],
    ['', 'http://h/'],
    ['/a%2fb?x=%zz"', 'http://h/a%2fb?x=%zz"'],
    ['/\u00fc', 'http://h/%FC'],
    ['/a|b', 'http://h/a%7Cb'],
    ['/"<>', 'http://h/%22%3C%3E'],
  ])('the path %j', (path, url) => {
    expect(goUrl({ scheme: '', host: 'h', path })).toBe(url);
  });

  it.each([
    ['x-request-id', 'X-Request-Id'],
    ['etag', 'Etag'],
    ['x_under', 'X_under'],
    ['a b', 'a b'],
  ])('the name %j', (name, written) => {
    expect(goHeaderName(name)).toBe(written);
  });
});
