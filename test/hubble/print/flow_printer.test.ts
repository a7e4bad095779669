/** The lines of `observe`. That they are Hubble's, byte by byte: test/conformance/hubble_printer.ts. */
import { fromJson, type JsonObject } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { GetFlowsResponseSchema } from '../../../src/hubble/generated/observer/observer_pb.ts';
import {
  FlowPrinter,
  type PrintForm,
  type PrintOptions,
} from '../../../src/hubble/print/flow_printer.ts';

const REQUEST: JsonObject = {
  time: '2026-03-01T09:05:04.123456789Z',
  verdict: 'DROPPED',
  IP: { source: '10.0.0.1', destination: '10.0.0.2' },
  l4: { TCP: { source_port: 44396, destination_port: 80 } },
  source: { identity: 25698, namespace: 'default', pod_name: 'tiefighter' },
  destination: { identity: 6822, namespace: 'default', pod_name: 'deathstar' },
  Type: 'L7',
  node_name: 'kind/worker',
  l7: { type: 'REQUEST', http: { method: 'PUT', url: 'http://deathstar/v1/exhaust-port' } },
  event_type: { type: 129 },
  is_reply: false,
  Summary: 'HTTP/1.1 PUT http://deathstar/v1/exhaust-port',
};

describe('a flow', () => {
  it.each<[string, JsonObject, string]>([
    [
      'that was refused',
      {},
      'Mar  1 09:05:04.123: default/tiefighter:44396 (ID:25698) -> default/deathstar:80 (ID:6822) http-request DROPPED (HTTP/1.1 PUT http://deathstar/v1/exhaust-port)\n',
    ],
    [
      'that is an answer stands the other way round',
      { is_reply: true, l7: { type: 'RESPONSE', http: { code: 403 } } },
      'Mar  1 09:05:04.123: default/deathstar:80 (ID:6822) <- default/tiefighter:44396 (ID:25698) http-response DROPPED (HTTP/1.1 PUT http://deathstar/v1/exhaust-port)\n',
    ],
    [
      'of which nobody has a name',
      {
        ...{
          source: {},
          destination: { identity: 2 },
          IP: { source: 'fd00::1', destination: '::2' },
        },
        ...{ l7: null, is_reply: null, event_type: { type: 1, sub_type: 133 }, Summary: 'TCP' },
      },
      'Mar  1 09:05:04.123: [fd00::1]:44396 (unknown) <> [::2]:80 (world) Policy denied DROPPED (TCP)\n',
    ],
  ])('%s', (_, changes, line) => {
    expect(printed('compact', [{ flow: { ...REQUEST, ...changes } }])).toBe(line);
  });

  it('whose texts a terminal would obey stays on its line, escaped', () => {
    const source = { namespace: 'a\u001b]0;owned\u0007', pod_name: 'b\nforged' };
    const out = printed('compact', [{ flow: { ...REQUEST, source, Summary: '\u202egpj.exe\r' } }]);
    expect(out.trimEnd()).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(out).toContain('a\\u001b]0;owned\\u0007/b\\nforged');
    expect(out).toContain('(\\u202egpj.exe\\u000d)');
  });

  it('is an entry of a dictionary, or a row under heads', () => {
    const responses = [{ flow: REQUEST }, { flow: REQUEST }];
    expect(printed('dict', responses, { hasNode: true }).split('------------\n')[1]).toBe(
      `  TIMESTAMP: Mar  1 09:05:04.123
       NODE: kind/worker
     SOURCE: default/tiefighter:44396
DESTINATION: default/deathstar:80
       TYPE: http-request
    VERDICT: DROPPED
    SUMMARY: HTTP/1.1 PUT http://deathstar/v1/exhaust-port
`,
    );
    expect(printed('table', responses).split('\n')[0]).toBe(
      'TIMESTAMP             SOURCE                     DESTINATION            TYPE           VERDICT   SUMMARY',
    );
  });
});

describe('what is no flow', () => {
  const lost = { source: 'HUBBLE_RING_BUFFER', num_events_lost: '12' };
  const unavailable = { state_change: 'NODE_UNAVAILABLE', node_names: ['a', 'b'] };
  const time = '2026-03-01T09:05:04Z';

  it('is told between the flows: those that were lost', () => {
    expect(printed('compact', [{ lost_events: lost, time }])).toBe(
      'Mar  1 09:05:04.000 EVENTS LOST: HUBBLE_RING_BUFFER CPU(0) 12\n',
    );
  });

  it('is told beside them: nodes that are away, and others for who looks for trouble', () => {
    const of = (state_change: string, isDebug: boolean): string => {
      const response = { node_status: { ...unavailable, state_change }, node_name: 'r', time };
      return errorsOf([response], { isDebug });
    };
    const line = 'Mar  1 09:05:04.000 [r]: 2 nodes are unavailable: a, b\n';
    expect(of('NODE_UNAVAILABLE', false)).toBe(line);
    expect(of('NODE_CONNECTED', false)).toBe('');
    expect(of('NODE_CONNECTED', true)).toContain('Receiving flows from 2 nodes: a, b');
  });
});

function printer(form: PrintForm, options: Partial<PrintOptions>): FlowPrinter {
  return new FlowPrinter({
    ...{ form, timeFormat: 'StampMilli', isTranslated: true, hasNode: false, hasPolicies: false },
    ...{ isDebug: false, paint: (_, text) => text, jsonOf: () => '', details: () => [] },
    ...options,
  });
}

function printed(
  form: PrintForm,
  responses: readonly JsonObject[],
  options: Partial<PrintOptions> = {},
): string {
  const made = printer(form, options);
  const out = responses.map((json) => made.print(fromJson(GetFlowsResponseSchema, json)).out);
  return out.join('') + made.end();
}

function errorsOf(responses: readonly JsonObject[], options: Partial<PrintOptions>): string {
  const made = printer('compact', options);
  return responses.map((json) => made.print(fromJson(GetFlowsResponseSchema, json)).error).join('');
}
