/** docs/observability.md lists what there is: every metric, every field of a log line, every path. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ROUTES } from '../../src/admin/routes.ts';
import type { IpText } from '../../src/model/address.ts';
import { DENY_REASONS } from '../../src/model/decision.ts';
import { DROP_REASONS } from '../../src/model/drop_reason.ts';
import { FAULTS } from '../../src/model/fault.ts';
import { Cause, DETAILS } from '../../src/model/fault_detail.ts';
import { partialRequest } from '../../src/model/partial_request.ts';
import { plainHead } from '../../src/model/request_head.ts';
import { METRICS } from '../../src/observe/metrics/table.ts';
import { ReadableLines } from '../support/readable_lines.ts';
import { allow, denied, deny, GET_ORDERS, POLICY, record } from './records.ts';

const page = readFileSync(new URL('../../docs/observability.md', import.meta.url), 'utf8');

describe('docs/observability.md', () => {
  it('has the table of metrics', () => {
    const rows = Object.entries(METRICS).map(([name, { type, labels, help }]) => {
      const names = labels.map((label) => `\`${label}\``).join(', ');
      return `| \`${name}\` | ${type} | ${names} | ${help} |`;
    });
    expect(tableAfter('| metric | type | labels | meaning |')).toEqual(rows);
  });

  it('has the fields of a log line, and no other', () => {
    const documented = tableAfter('| field | meaning |').flatMap((row) =>
      [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1]),
    );
    expect(documented.toSorted()).toEqual([...fieldsOfFullLines()].sort());
  });

  it('has the table of drop reasons', () => {
    const rows = Object.entries(DROP_REASONS).map(([word, about]) => `| \`${word}\` | ${about} |`);
    expect(tableAfter('| drop reason | meaning |')).toEqual(rows);
  });

  it('has every reason of a denial', () => {
    for (const reason of Object.keys(DENY_REASONS)) expect(page).toContain(`\`${reason}\``);
  });

  it('has the table of faults', () => {
    const rows = Object.entries(FAULTS).map(
      ([name, { status, blame, about }]) =>
        `| \`${name}\` | ${status === 0 ? '' : status} | ${blame} | ${about} |`,
    );
    expect(tableAfter('| fault | status | blame | meaning |')).toEqual(rows);
  });

  it('has the table of details', () => {
    const rows = Object.entries(DETAILS).map(
      ([name, { fault, isOfByte, about }]) =>
        `| \`${name}\` | \`${fault}\` | ${isOfByte ? 'yes' : ''} | ${about} |`,
    );
    expect(tableAfter('| detail | fault in a request | of a byte | what is wrong |')).toEqual(rows);
  });

  it('has every path of the admin server', () => {
    const documented = tableAfter('| path | answer |').flatMap((row) =>
      [...row.matchAll(/`(?:GET|POST) (\/[a-z/]*)`/g)].map((match) => match[1]),
    );
    expect(documented.toSorted()).toEqual([...ROUTES.keys()].sort());
  });
});

/** Rows of the table with that header. */
function tableAfter(header: string): string[] {
  const lines = page.split('\n');
  const start = lines.indexOf(header) + 2;
  const end = lines.findIndex((line, index) => index >= start && !line.startsWith('|'));
  return lines.slice(start, end);
}

/** Lines in which together every field is. */
function fieldsOfFullLines(): Set<string> {
  const lines = new ReadableLines({ headers: ['accept'], isQueryLogged: false });
  lines.policyChanged({ ...POLICY, services: { named: () => 'default/orders' } }, []);
  const head = plainHead({
    method: 'POST',
    authority: 'a',
    path: '/s.S/M',
    fields: [
      ...['accept', '*/*', 'content-type', 'application/grpc'],
      ...['traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
    ],
  });
  const headers = [['a', 'b']] as const;
  const decision = deny({ rule: GET_ORDERS, half: 'egress', missing: headers, rejected: headers });
  const full = denied({
    head,
    decision,
    shadowDecision: decision,
    isDryRun: true,
    isHalfClosed: true,
    grpcStatus: 7,
    serverName: 'a.test',
    fault: 'overloaded',
  });
  const fields = new Set<string>();
  const seen = {
    version: 'HTTP/1.1',
    method: 'GET',
    authority: 'a',
    path: '/'.repeat(999),
  } as const;
  const refused = record({
    head: null,
    partial: partialRequest(seen),
    fault: 'malformed-target',
    cause: new Cause('path-character', 5, 0x5c),
  });
  const byBoth = record({ decision: allow({ half: 'ingress', otherRule: GET_ORDERS }) });
  const asked = record({
    head: null,
    status: 0,
    question: { name: 'a.test.', type: 'A', rcode: 0, ips: ['192.0.2.1' as IpText], ttlSeconds: 5 },
  });
  for (const one of [full, refused, byBoth, asked])
    collect(JSON.parse(lines.text(one, 3)), '', fields);
  return fields;
}

function collect(value: object, prefix: string, fields: Set<string>): void {
  for (const [name, inner] of Object.entries(value)) {
    const isObject = typeof inner === 'object' && !Array.isArray(inner) && name !== 'headers';
    if (isObject) collect(inner, `${prefix}${name}.`, fields);
    else fields.add(`${prefix}${name}`);
  }
}
