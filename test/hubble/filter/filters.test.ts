/** Filters of Hubble. That each field is understood as by the agent: test/conformance/hubble_filters.ts. */
import { describe, expect, it } from 'vitest';
import { compileFilters } from '../../../src/hubble/filter/filters.ts';
import { messageOfJson } from '../../../src/hubble/flow/flow_json.ts';
import { hubbleFlows } from '../../../src/hubble/flow/hubble_flows.ts';
import {
  FlowFilterSchema,
  type Flow as HubbleFlow,
} from '../../../src/hubble/generated/flow/flow_pb.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { searchCompiler } from '../../../src/regex/search.ts';
import { flowCases, NAMING } from '../flow/flow_cases.ts';

const compilePattern = searchCompiler(DEFAULT_LIMITS);
const [request, response] = hubbleFlows((flowCases[0] as (typeof flowCases)[0]).flow, NAMING) as [
  HubbleFlow,
  HubbleFlow,
];

type Filter = Parameters<typeof messageOfJson>[1];

function passes(flow: HubbleFlow, whitelist: readonly Filter[], blacklist: readonly Filter[] = []) {
  const messages = (filters: readonly Filter[]) =>
    filters.map((one) => messageOfJson(FlowFilterSchema, one));
  const lists = { whitelist: messages(whitelist), blacklist: messages(blacklist) };
  const compiled = compileFilters(lists, compilePattern);
  return compiled.kind === 'ok' ? compiled.passes(flow) : compiled.message;
}

describe('a request of shop/web-1 to shop/api-1', () => {
  it.each<[object, boolean]>([
    [{}, true],
    [{ source_pod: ['shop/web'] }, true],
    [{ source_pod: ['web'] }, false],
    [{ destination_pod: ['/api', 'other/'] }, true],
    [{ source_label: ['app in (shop, api), !tier'] }, true],
    [{ destination_fqdn: ['*.example.com'] }, true],
    [{ destination_ip: ['10.0.0.0/24'] }, true],
    [{ source_workload: [{ kind: 'Deployment' }] }, true],
    [{ http_path: ['^/v1/'], http_method: ['get'] }, true],
    [{ http_path: ['^/v1/'], http_method: ['post'] }, false],
    [{ http_header: [{ key: 'X-Request-Id', value: '77' }] }, true],
    [{ protocol: ['tcp'], destination_port: ['80'] }, true],
    [{ event_type: [{ type: 129 }], reply: [false] }, true],
    [{ node_name: ['default/node-*'] }, true],
    [{ trace_id: ['4bf92f3577b34da6a3ce929d0e0e4736'] }, true],
    [{ verdict: ['DROPPED'] }, false],
  ])('%j: %s', (filter, expected) => {
    expect(passes(request, [filter as Filter])).toBe(expected);
    expect(passes(request, [], [filter as Filter])).toBe(!expected);
  });

  it('passes one of several filters, and none that excludes it', () => {
    const other = { verdict: ['DROPPED'] };
    const own = { source_pod: ['shop/'] };
    expect(passes(request, [other, own])).toBe(true);
    expect(passes(request, [own], [other, own])).toBe(false);
  });

  it('has a response by its code', () => {
    expect(passes(response, [{ http_status_code: ['2+'] }])).toBe(true);
    expect(passes(request, [{ http_status_code: ['2+'] }])).toBe(false);
  });
});

describe('a filter that cannot be understood', () => {
  it.each<[object, string]>([
    [{ source_ip: ['10.0.0'] }, 'invalid IP address "10.0.0" in filter'],
    [{ source_pod: [''] }, 'invalid filter, name must not be empty'],
    [{ source_label: ['a b'] }, 'invalid label selector "a b"'],
    // Each is half a minute of a pattern that tries every way to share the space.
    [{ source_label: [`a${' '.repeat(100_000)}b`] }, 'invalid label selector "a '],
    [{ source_label: [`${' '.repeat(100_000)}=`] }, 'invalid label selector " '],
    [{ source_label: [`a=b${' '.repeat(100_000)}b`] }, 'invalid label selector "a=b '],
    [{ http_status_code: ['6+'] }, 'invalid status code prefix: "6+"'],
    [{ protocol: ['ip'] }, 'unknown protocol: "ip"'],
    [{ http_url: ['['] }, '[: missing ]: ['],
    [{ http_url: ['(a|b)*a(a|b){300}'] }, 'can be in'],
    [
      { http_path: ['/'], event_type: [{ type: 1 }] },
      "filtering by http path requires the event type filter to only match 'l7' events",
    ],
    [{ experimental: { cel_expression: ['true'] } }, 'filters of CEL are not supported'],
  ])('%j is told as %j', (filter, message) => {
    expect(passes(request, [filter as Filter])).toContain(message);
  });
});
