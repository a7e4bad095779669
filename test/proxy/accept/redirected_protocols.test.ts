/** Every protocol asks both halves of a redirected connection: HTTP/2, gRPC, TLS, and what cannot be read. */
import { afterEach, describe, expect, it } from 'vitest';
import type { RedirectRecord } from '../../../src/redirect/layout.ts';
import { clientHello } from '../../support/client_hello.ts';
import { Http2Client, Http2Origin } from '../../support/http2_peers.ts';
import { closeRigs, cnp, type Rig, startRig } from '../../support/plane_rig.ts';
import { BOTH, httpRules, policies, REDIRECTED_ENDPOINTS } from '../../support/redirected.ts';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  closeRigs();
});

const HELLO = clientHello('api.test');

describe('HTTP/2', () => {
  it('each stream needs both sides’ word, and its record says whose it had', async () => {
    const { rig, client, origin } = await http2(httpRules('/b', '/c'), httpRules('/a', '/b'));
    const statuses: number[] = [];
    for (const path of ['/b', '/a', '/c'])
      statuses.push((await client.ask({ ':path': path })).status);
    expect(statuses).toEqual([200, 403, 403]);
    expect(origin.seen.map(({ headers }) => headers[':path'])).toEqual(['/b']);
    const records = await rig.recorder.untilRecords(3);
    expect(records.map(({ decision }) => [decision?.verdict, decision?.half])).toEqual([
      ['allow', 'ingress'],
      ['deny', 'ingress'],
      ['deny', 'egress'],
    ]);
  });

  it('what the egress rules set is what the ingress rules see, and what is sent', async () => {
    const { client, origin } = await http2(
      ', rules: { http: [{ headerMatches: [{ name: x-from, value: web }] }] }',
      ', rules: { http: [{ headerMatches: [{ name: x-from, value: web, mismatch: REPLACE }] }] }',
    );
    expect((await client.ask({ ':path': '/', 'x-from': 'nobody' })).status).toBe(200);
    expect(origin.seen[0]?.headers['x-from']).toBe('web');
  });

  it('gRPC is told of the refusal of either side as gRPC', async () => {
    const grpc = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
    const { client } = await http2(
      httpRules('/x.Y/Both', '/x.Y/In'),
      httpRules('/x.Y/Both', '/x.Y/Out'),
    );
    const told = async (path: string): Promise<unknown> =>
      (await client.ask({ ...grpc, ':path': path }, Buffer.alloc(0))).headers['grpc-status'];
    expect(await told('/x.Y/Both')).toBeUndefined();
    expect(await told('/x.Y/In')).toBe('7');
    expect(await told('/x.Y/Out')).toBe('7');
  });

  it('an open connection that either side no longer allows is closed', async () => {
    for (const late of [
      policies('', '', 'other'),
      policies('', '').replace('app: api } }]', 'app: other } }]'),
    ]) {
      const { rig, client } = await http2('', '');
      expect((await client.ask({ ':path': '/' })).status).toBe(200);
      rig.updateAll({ endpoints: REDIRECTED_ENDPOINTS, policy: late });
      expect(await rig.recorder.untilClosed(1)).toEqual(['policy-changed']);
    }
  });
});

describe('TLS', () => {
  it.each([
    { about: 'neither side has L7 rules', ingress: '', egress: '', outcome: 'passes' },
    { about: 'the ingress has', ingress: httpRules('/'), egress: '', outcome: 'not-judgeable' },
    { about: 'the egress has', ingress: '', egress: httpRules('/'), outcome: 'not-judgeable' },
    {
      about: 'both allow the name',
      ingress: sni('api.test'),
      egress: sni('*.test'),
      outcome: 'passes',
    },
    {
      about: 'the ingress refuses it',
      ingress: sni('x.test'),
      egress: '',
      outcome: 'sni-not-allowed',
    },
    {
      about: 'the egress refuses it',
      ingress: '',
      egress: sni('x.test'),
      outcome: 'sni-not-allowed',
    },
  ])('$about: $outcome', async ({ ingress, egress, outcome }) => {
    const rig = await redirected(policies(ingress, egress));
    const client = await rig.client();
    client.send(HELLO);
    if (outcome === 'passes') {
      const upstream = await rig.origin.connection();
      await upstream.untilBytes(HELLO.length);
      return;
    }
    expect(await client.over()).toEqual({ text: '', how: 'reset' });
    expect(rig.recorder.summaries).toEqual([`denied ${outcome} 0 -`]);
    expect(rig.origin.connections).toEqual([]);
  });

  it('a tunnel ends when either side gets HTTP rules', async () => {
    for (const late of [policies(httpRules('/'), ''), policies('', httpRules('/'))]) {
      const rig = await redirected(policies('', ''));
      const client = await rig.client();
      client.send(HELLO);
      await (await rig.origin.connection()).untilBytes(HELLO.length);
      rig.updateAll({ endpoints: REDIRECTED_ENDPOINTS, policy: late });
      expect((await client.over()).how).toBe('reset');
      expect(rig.recorder.closed).toEqual(['policy-changed']);
    }
  });
});

describe('where both sides judge by the ends alone', () => {
  it('the server may be the first to speak, in whatever protocol', async () => {
    const rig = await redirected(policies('', ''));
    const client = await rig.client();
    const upstream = await rig.origin.connection();
    upstream.send('220 ready');
    await client.until('220 ready');
    client.send('\u0000\u0001 not known');
    await upstream.untilBytes(12);
    upstream.end();
    client.end();
    await client.over();
    expect(rig.recorder.summaries).toEqual(['forwarded allowed 0 -']);
  });

  it.each(['GET', 'GET  / HTTP/9.9\r\n\r\n', '\u0016\u0003\u0001\u0000\u0001\u0000'])(
    'what only looks like a protocol passes as it is: %j',
    async (bytes) => {
      const rig = await redirected(policies('', ''));
      const client = await rig.client();
      client.send(bytes);
      await (await rig.origin.connection()).untilBytes(bytes.length);
      expect(rig.origin.received).toBe(bytes);
    },
  );

  it.each([
    ['the server name', sni('api.test')],
    ['requests', httpRules('/')],
  ])('and no longer: a rule about %s cuts what was begun', async (_, rule) => {
    for (const late of [policies(rule, ''), policies('', rule)]) {
      const rig = await redirected(policies('', ''));
      const client = await rig.client();
      client.send('something');
      await (await rig.origin.connection()).untilBytes(9);
      rig.updateAll({ endpoints: REDIRECTED_ENDPOINTS, policy: late });
      expect((await client.over()).how).toBe('reset');
      expect(rig.recorder.closed).toEqual(['policy-changed']);
    }
  });

  it('and one side does not: the server hears nothing', async () => {
    for (const policy of [policies(sni('api.test'), ''), policies('', httpRules('/'))]) {
      const rig = await redirected(policy);
      const client = await rig.client();
      client.send('\u0000\u0001\u0002 nothing that is known');
      await client.over();
      expect(rig.origin.connections).toEqual([]);
    }
  });

  it('on a listener of its own, without the redirect, what cannot be read is refused as before', async () => {
    const rig = await startRig({ policy: cnp('') });
    const { text } = await rig.exchange('\u0000\u0001\u0002 nothing that is known\r\n\r\n');
    expect(text).toContain('400');
    expect(rig.origin.received).toBe('');
  });
});

it('bytes of no protocol reach nobody', async () => {
  const rig = await redirected(policies(httpRules('/'), httpRules('/')));
  const { text } = await rig.exchange('\u0000\u0001\u0002 nothing that is known\r\n\r\n');
  expect(text).toContain('400');
  expect(rig.origin.received).toBe('');
});

it('a record that cannot be read is none', async () => {
  const rig = await startRig({
    endpoints: REDIRECTED_ENDPOINTS,
    policy: policies('', ''),
    records: {
      lookup: () => {
        throw new Error('made to fail');
      },
    },
    listener: { direction: 'by-record' },
  });
  const { how } = await rig.exchange('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  expect(how).toBe('reset');
  expect(rig.recorder.summaries).toEqual(['error no-redirect-record 0 -']);
  expect(rig.takeInternalErrors()).toHaveLength(1);
});

function sni(name: string): string {
  return `, serverNames: ["${name}"]`;
}

function redirected(
  policy: string,
  record: RedirectRecord = BOTH,
  upstreamPort?: number,
): Promise<Rig> {
  return startRig({
    endpoints: REDIRECTED_ENDPOINTS,
    policy,
    records: { lookup: () => record },
    ...(upstreamPort === undefined ? {} : { upstreamPort }),
    listener: {
      direction: 'by-record',
      identity: { kind: 'sources', sources: ['redirect-record'] },
    },
  });
}

async function http2(
  ingress: string,
  egress: string,
): Promise<{ rig: Rig; client: Http2Client; origin: Http2Origin }> {
  const origin = await Http2Origin.start();
  const rig = await redirected(policies(ingress, egress), BOTH, origin.port);
  const client = new Http2Client(rig.port);
  cleanups.push(() => client.session.destroy());
  cleanups.push(() => origin.stop());
  return { rig, client, origin };
}
