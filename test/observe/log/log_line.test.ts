/** Log lines: each shape as golden text, and what must never be in one. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { IpText } from '../../../src/model/address.ts';
import type { Identity } from '../../../src/model/identity.ts';
import type { RequestRecord } from '../../../src/model/record.ts';
import { plainHead } from '../../../src/model/request_head.ts';
import type { ShownOptions } from '../../../src/observe/flow/http_facts.ts';
import { byHttp1, byHttp2 } from '../../support/both_versions.ts';
import { ReadableLines } from '../../support/readable_lines.ts';
import { address, allow, denied, deny, GET_ORDERS, meta, POLICY, record } from '../records.ts';

const CONNECTION =
  '"direction":"ingress","listener":"api","proxy_id":0,"connection_id":12,' +
  '"src":{"ip":"10.0.1.9","port":40100,"identity":43,' +
  '"labels":["k8s:app=client","k8s:io.kubernetes.pod.namespace=default"]},' +
  '"dst":{"ip":"10.0.0.7","port":8080,"identity":1001,"labels":["k8s:app=orders"]},' +
  '"endpoint":"default/orders","identity_source":"endpoints"';
const RULE = '"policy":"default/orders-api","rule":"ingress[0].toPorts[0].rules.http[1]"';
const TIME = '"time":"2023-11-14T22:13:20.127Z"';
const COUNTS = '"bytes_in":120,"bytes_out":340,"duration_ms":4.568,"overhead_ms":0.052';
const HTTP =
  '"version":"HTTP/1.1","method":"GET","scheme":"http","host":"orders:8080","path":"/orders/7"';

describe('shapes', () => {
  it('a request that was forwarded', () => {
    check(
      record(),
      `{"level":"info",${TIME},"msg":"request","verdict":"forwarded","layer":"http",${RULE},${CONNECTION},` +
        `"http":{${HTTP},"status":200},"response_source":"upstream",${COUNTS},"policy_revision":3}`,
    );
  });

  it('a DNS question, answered and not', () => {
    const asked = { head: null, status: 0, meta: meta({ transport: 'UDP' }) } as const;
    const facts = {
      name: 'a.test.',
      type: 'A',
      rcode: 0,
      ips: ['192.0.2.1' as IpText],
      ttlSeconds: 5,
    };
    check(
      record({ ...asked, question: facts }),
      `{"level":"info",${TIME},"msg":"question","verdict":"forwarded","layer":"http",${RULE},${CONNECTION},` +
        `"dns":{"transport":"udp","query":"a.test.","type":"A","rcode":"NOERROR","ips":["192.0.2.1"],"ttl":5},` +
        `"response_source":"upstream",${COUNTS},"policy_revision":3}`,
    );
    const none = { name: '', type: '', rcode: null, ips: [], ttlSeconds: 0 };
    check(
      record({ ...asked, meta: meta(), question: none, responseSource: 'none' }),
      `{"level":"info",${TIME},"msg":"question","verdict":"forwarded","layer":"http",${RULE},${CONNECTION},` +
        `"dns":{"transport":"tcp"},"response_source":"none",${COUNTS},"policy_revision":3}`,
    );
  });

  it('a request that was denied', () => {
    check(
      denied(),
      `{"level":"warn",${TIME},"msg":"request","verdict":"denied","reason":"no-http-rule-matched","layer":"http",` +
        `${CONNECTION},"http":{${HTTP},"status":403},"response_source":"local",${COUNTS},"policy_revision":3}`,
    );
  });

  it('a request that was denied by a rule, with missing and rejected headers', () => {
    const decision = deny({
      reason: 'denied-by-rule',
      rule: GET_ORDERS,
      missing: [['x-role', 'admin']],
      rejected: [['x-token', '[redacted]']],
    });
    check(
      denied({ decision }),
      `{"level":"warn",${TIME},"msg":"request","verdict":"denied","reason":"denied-by-rule","layer":"http",${RULE},` +
        `${CONNECTION},"http":{${HTTP},"status":403},` +
        '"missing_headers":[{"name":"x-role","value":"admin"}],' +
        '"rejected_headers":[{"name":"x-token","value":"[redacted]"}],' +
        `"response_source":"local",${COUNTS},"policy_revision":3}`,
    );
  });

  describe('of a connection with two endpoints of this node', () => {
    const both = meta({
      direction: 'egress',
      endpointIp: address('10.0.1.9:0').ip,
      remoteIdentity: 1001 as Identity,
      identitySource: 'redirect-record',
      second: {
        direction: 'ingress',
        endpointIp: address('10.0.0.7:0').ip,
        remoteIdentity: 43 as Identity,
      },
      recorded: {
        source: { identity: 43 as Identity, check: 1n },
        destination: { identity: 1001 as Identity, check: 2n },
      },
    });
    const sides = CONNECTION.slice(
      CONNECTION.indexOf('"listener"'),
      CONNECTION.indexOf('"endpoint"'),
    );
    const ofRecord = '"identity_source":"redirect-record"';
    const rest = `"http":{${HTTP},"status":403},"response_source":"local",${COUNTS},"policy_revision":3}`;
    const because = '"verdict":"denied","reason":"no-http-rule-matched","layer":"http"';

    it('the egress half’s denial names its endpoint', () => {
      check(
        denied({ meta: both, decision: deny({ half: 'egress' }) }),
        `{"level":"warn",${TIME},"msg":"request",${because},"half":"egress","direction":"egress",` +
          `${sides}"endpoint":"10.0.1.9",${ofRecord},${rest}`,
      );
    });

    it('the ingress half’s denial names the other one', () => {
      check(
        denied({ meta: both, decision: deny({ half: 'ingress' }) }),
        `{"level":"warn",${TIME},"msg":"request",${because},"half":"ingress","direction":"ingress",` +
          `${sides}"endpoint":"default/orders",${ofRecord},${rest}`,
      );
    });

    it('an allow names the rules of both', () => {
      const other = { policy: 'shop/web', rule: 'egress[0]', index: 7 };
      const decision = allow({ half: 'ingress', otherRule: other });
      const line = writer().text(record({ meta: both, decision }));
      expect(line).toContain(`${RULE},"other_policy":"shop/web","other_rule":"egress[0]",`);
    });
  });

  it('a connection that was denied', () => {
    const decision = deny({ layer: 'network', reason: 'sni-not-allowed' });
    check(
      denied({ decision, head: null, status: 0, responseSource: 'none', serverName: 'a.test' }),
      `{"level":"warn",${TIME},"msg":"connection","verdict":"denied","reason":"sni-not-allowed","layer":"network",` +
        `${CONNECTION},"sni":"a.test","response_source":"none",${COUNTS},"policy_revision":3}`,
    );
  });

  it('a head that could not be read', () => {
    check(
      record({
        verdict: 'error',
        decision: null,
        head: null,
        status: 400,
        responseSource: 'local',
        fault: 'ambiguous-framing',
      }),
      `{"level":"warn",${TIME},"msg":"request","verdict":"error",${CONNECTION},"http":{"status":400},` +
        `"response_source":"local",${COUNTS},"fault":"ambiguous-framing","blame":"downstream","policy_revision":3}`,
    );
  });

  it('an upstream that was not there', () => {
    const changes = { status: 503, responseSource: 'local', fault: 'connect-failed' } as const;
    check(
      record({ verdict: 'error', ...changes }),
      `{"level":"warn",${TIME},"msg":"request","verdict":"error","layer":"http",${RULE},${CONNECTION},` +
        `"http":{${HTTP},"status":503},"response_source":"local",${COUNTS},` +
        '"fault":"connect-failed","blame":"upstream","policy_revision":3}',
    );
  });

  it('a gRPC call, with trace context', () => {
    const head = plainHead({
      version: 'HTTP/2',
      method: 'POST',
      authority: 'shop',
      path: '/shop.v1.Cart/Add',
      isGrpc: true,
      fields: [
        'content-type',
        'application/grpc+proto',
        'traceparent',
        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      ],
    });
    check(
      record({ head, grpcStatus: 7 }),
      `{"level":"info",${TIME},"msg":"request","verdict":"forwarded","layer":"http",${RULE},${CONNECTION},` +
        '"http":{"version":"HTTP/2","method":"POST","scheme":"http","host":"shop","path":"/shop.v1.Cart/Add","status":200},' +
        '"grpc":{"service":"shop.v1.Cart","method":"Add","status":7},' +
        '"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7",' +
        `"response_source":"upstream",${COUNTS},"policy_revision":3}`,
    );
  });

  it.each([
    ['POST', 'application/grpc', true],
    ['GET', 'application/grpc', true],
    ['POST', 'application/grpc+proto', true],
    ['POST', 'application/grpc-web', false],
    ['POST', 'application/json', false],
  ])('%s of %s is told as a gRPC call as it is answered as one: %s', (method, type, isGrpc) => {
    const fields = [['content-type', type]] as const;
    const asked = { method, path: '/shop.v1.Cart/Add', authority: 'shop', fields };
    for (const head of [byHttp1(asked), byHttp2(asked)]) {
      const line = JSON.parse(writer().text(record({ head, grpcStatus: null })));
      expect([head?.isGrpc, 'grpc' in line]).toEqual([isGrpc, isGrpc]);
    }
  });

  it('egress to an address that nobody knows', () => {
    const egress = meta({
      direction: 'egress',
      source: address('10.0.0.7:40100'),
      destination: address('[2001:db8::1]:443'),
      remoteIdentity: 2 as Identity,
      identitySource: 'none',
    });
    const line = writer().text(record({ meta: egress }));
    expect(line).toContain(
      '"direction":"egress","listener":"api","proxy_id":0,"connection_id":12,' +
        '"src":{"ip":"10.0.0.7","port":40100,"identity":1001,"labels":["k8s:app=orders"]},' +
        '"dst":{"ip":"2001:db8::1","port":443,"identity":2,"labels":[]},' +
        '"endpoint":"default/orders","identity_source":"none"',
    );
  });

  it('a denial that the dry-run of the whole proxy let through', () => {
    check(
      record({ decision: deny(), isDryRun: true }),
      `{"level":"info",${TIME},"msg":"request","verdict":"forwarded","reason":"no-http-rule-matched","layer":"http",` +
        `${CONNECTION},"http":{${HTTP},"status":200},"response_source":"upstream",${COUNTS},"policy_revision":3,"enforced":false}`,
    );
  });

  it('what a policy in dry-run would have said', () => {
    check(
      record({ shadowDecision: deny({ reason: 'denied-by-rule', rule: GET_ORDERS }) }),
      `{"level":"info",${TIME},"msg":"request","verdict":"forwarded","layer":"http",${RULE},${CONNECTION},` +
        `"http":{${HTTP},"status":200},"response_source":"upstream",${COUNTS},"policy_revision":3,` +
        `"dry_run":{"verdict":"deny","reason":"denied-by-rule",${RULE}}}`,
    );
  });

  it('fields that are allowed, and the query', () => {
    const head = plainHead({
      method: 'GET',
      authority: 'a',
      path: '/x?q=1',
      fields: ['Accept', 'a/b', 'accept', 'c/d', 'Cookie', 'id=1', 'x-other', 'no'],
    });
    const line = writer({ headers: ['accept', 'cookie', 'absent'], isQueryLogged: true }).text(
      record({ head }),
    );
    expect(line).toContain('"path":"/x?q=1"');
    expect(line).toContain('"headers":{"accept":"a/b,c/d","cookie":"[redacted]"}');
    expect(line).not.toContain('x-other');
  });

  it('labels follow the policy, not the connection', () => {
    const lines = writer();
    const one = record();
    lines.text(one);
    lines.policyChanged({ ...POLICY, labels: { labelsOf: () => ['k8s:app=new'] } }, []);
    expect(lines.text(one)).toContain('"identity":43,"labels":["k8s:app=new"]');
  });
});

describe('trace context', () => {
  it.each([
    '',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7',
    '00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01',
    '00-00000000000000000000000000000000-00f067aa0ba902b7-01',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01',
    'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"',
  ])('%j is none', (traceparent) => {
    const fields = ['traceparent', traceparent];
    const head = plainHead({ method: 'GET', authority: 'a', path: '/', fields });
    expect(writer().text(record({ head }))).not.toContain('trace_id');
  });
});

/** Every text that a client or a policy can put into a record. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) }),
  fc.constantFrom('"', '\\', '\n{"level":"info"}', '\u2028', '\u001b[2J', '\u009b2J', '\ud800'),
);

describe('whatever a client sends', () => {
  it('a line is one JSON object of printable ASCII with those very texts', () => {
    fc.assert(
      fc.property(
        anyText,
        anyText,
        anyText,
        anyText,
        anyText,
        (method, host, path, value, name) => {
          const head = plainHead({
            method,
            authority: host,
            path,
            fields: ['x-any', value, 'content-type', 'application/grpc', 'traceparent', value],
          });
          const decision = allow({
            rule: { policy: name, rule: name, index: 0 },
            missing: [[name, value]],
          });
          const line = writer({ headers: ['x-any'], isQueryLogged: true }).text(
            record({ head, decision, serverName: name, meta: meta({ listener: name }) }),
          );
          expect(line).toMatch(/^[ -~]*\n$/);
          const parsed = JSON.parse(line);
          expect(parsed.http).toMatchObject({ method, host, path });
          expect(parsed.headers).toEqual({ 'x-any': value });
          expect(parsed).toMatchObject({ policy: name, rule: name, listener: name });
        },
      ),
    );
  });

  it('numbers that are none do not break a line', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, -1, 1e300]) {
      const line = writer().text(
        record({ durationMs: bad, overheadMs: bad, bytesIn: bad, endedAtMs: bad }),
      );
      expect(() => JSON.parse(line)).not.toThrow();
    }
  });
});

describe('secrets', () => {
  const secret = fc.string({ minLength: 6, maxLength: 40 }).filter((text) => !/^\W*$/.test(text));

  it('no value of a policy’s secret is in a line, wherever a client puts it', () => {
    fc.assert(
      fc.property(secret, anyText, anyText, (value, before, after) => {
        const found = `${before}${value}${after}`;
        const head = plainHead({
          method: 'GET',
          authority: found,
          path: `/${found}`,
          fields: ['x-token', found],
        });
        const lines = new ReadableLines({ headers: ['x-token'], isQueryLogged: true });
        lines.policyChanged(POLICY, [value]);
        const decision = deny({ missing: [['x-token', found]], rejected: [['x-token', found]] });
        const parsed = JSON.parse(lines.text(denied({ head, decision })));
        const texts = [
          parsed.http.host,
          parsed.http.path,
          parsed.headers['x-token'],
          parsed.missing_headers[0].value,
          parsed.rejected_headers[0].value,
        ];
        // What replaces a secret may happen to contain a part of the same text.
        fc.pre(!'[redacted]'.includes(value));
        for (const text of texts) expect(text.replaceAll('[redacted]', '')).not.toContain(value);
      }),
    );
  });

  it('a secret that has just been replaced is one, too', () => {
    const lines = new ReadableLines({ headers: ['x-token'], isQueryLogged: false });
    lines.policyChanged(POLICY, ['old-secret']);
    lines.policyChanged(POLICY, ['new-secret']);
    for (const value of ['old-secret', 'new-secret']) {
      const fields = ['x-token', `Bearer ${value}`];
      const head = plainHead({ method: 'GET', authority: 'a', path: '/', fields });
      expect(lines.text(record({ head }))).toContain('"headers":{"x-token":"[redacted]"}');
    }
  });

  it('a short secret is redacted as a whole value', () => {
    const lines = new ReadableLines({ headers: ['x-pin'], isQueryLogged: false });
    lines.policyChanged(POLICY, ['1234', '']);
    const head = plainHead({ method: 'GET', authority: 'a', path: '/', fields: ['x-pin', '1234'] });
    expect(lines.text(record({ head }))).toContain('"headers":{"x-pin":"[redacted]"}');
  });

  it('a secret that is not ASCII is found in the bytes of the request', () => {
    const lines = new ReadableLines({ headers: ['x-t'], isQueryLogged: false });
    lines.policyChanged(POLICY, ['gehäuse-ö']);
    const value = Buffer.from('gehäuse-ö').toString('latin1');
    const head = plainHead({ method: 'GET', authority: 'a', path: '/', fields: ['x-t', value] });
    expect(lines.text(record({ head }))).toContain('"headers":{"x-t":"[redacted]"}');
  });

  it.each(['authorization', 'cookie', 'set-cookie', 'proxy-authorization', 'x-api-key'])(
    '%s is never logged, even when it is allowed to be',
    (name) => {
      const fields = [name.toUpperCase(), 'hunter2-value'];
      const head = plainHead({ method: 'GET', authority: 'a', path: '/', fields });
      const decision = deny({ rejected: [[name, 'hunter2-value']] });
      const line = writer({ headers: [name] }).text(denied({ head, decision }));
      expect(line).not.toContain('hunter2');
      expect(line).toContain(`"headers":{"${name}":"[redacted]"}`);
    },
  );
});

function writer(options: Partial<ShownOptions> = {}): ReadableLines {
  const lines = new ReadableLines({ headers: [], isQueryLogged: false, ...options });
  lines.policyChanged(POLICY, []);
  return lines;
}

function check(one: RequestRecord, expected: string): void {
  const line = writer().text(one);
  expect(line).toBe(`${expected}\n`);
  expect(() => JSON.parse(line)).not.toThrow();
}
