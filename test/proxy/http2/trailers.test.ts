/** Trailers at HTTP/2: the same list and the same rules as at HTTP/1.1, in both directions. */
import { connect, type IncomingHttpHeaders } from 'node:http2';
import { afterEach, describe, expect, it } from 'vitest';
import { TRAILERS } from '../../../src/codec/http2/event.ts';
import { STATIC_FIELDS } from '../../../src/codec/http2/static_table.ts';
import {
  RESPONSE_TRAILERS,
  requestTrailers,
  trailerAction,
} from '../../../src/model/trailer_fields.ts';
import {
  drive,
  GET,
  greetedClient,
  greetedServer,
  headers,
  OK,
  POST,
} from '../../codec/http2/wire.ts';
import { Http2Client, Http2Origin, type StreamHandler } from '../../support/http2_peers.ts';
import { closeRigs, cnp, type RigOptions, startRig } from '../../support/plane_rig.ts';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  closeRigs();
});

const NAMES = [
  ...new Set(STATIC_FIELDS.filter((name, i) => i % 2 === 0 && !name.startsWith(':'))),
  ...[
    'etag',
    'x-sum',
    'x_sum',
    'grpc-status',
    'traceparent',
    'forwarded',
    'x-forwarded-for',
    'pragma',
    'trailer',
  ],
];

/** Those of one connection make a response malformed (RFC 9113 8.2.2). */
const OF_RESPONSES = NAMES.filter((name) => name !== 'transfer-encoding');

describe('of every name', () => {
  it.each(NAMES)('%s: what may stand in a request is what HTTP/1.1 lets stand there', (name) => {
    const connection = greetedServer();
    drive(connection, headers(1, POST, 4));
    const [told] = drive(connection, headers(1, ['x-a', '1', name, '2']));
    expect(told).toBe(
      {
        keep: `trailers 1 x-a|1|${name}|2 end`,
        drop: 'trailers 1 x-a|1 end',
        refuse: 'malformed 1 malformed-field',
      }[trailerAction(name, requestTrailers([], 'allow'))],
    );
  });

  it.each(OF_RESPONSES)(
    '%s: what a response may not have there is left out, and the rest goes on',
    (name) => {
      const connection = greetedClient();
      const stream = connection.openStream(1, false);
      connection.sendHeaders(stream, { fields: GET, kinds: null, from: 0 }, true);
      drive(connection, headers(1, OK, 4));
      const [told] = drive(connection, headers(1, ['x-a', '1', name, '2']));
      const isKept = trailerAction(name, RESPONSE_TRAILERS) === 'keep';
      expect(told).toBe(`trailers 1 x-a|1${isKept ? `|${name}|2` : ''} end`);
      // What was left out must not go on as the block that came.
      expect(connection.facts.isBlockSelfContained).toBe(isKept);
    },
  );
});

it('a response whose trailers are all left out ends all the same', () => {
  const upstream = greetedClient();
  upstream.sendHeaders(upstream.openStream(1, false), { fields: GET, kinds: null, from: 0 }, true);
  drive(upstream, headers(1, OK, 4));
  const downstream = greetedServer();
  drive(downstream, headers(1, GET));
  const { stream } = downstream.facts;
  downstream.respond(stream, { status: 200, fields: [], isEndStream: false });
  upstream.receive(headers(1, ['set-cookie', 'a=b']), 0);
  expect(upstream.next()).toBe(TRAILERS);
  downstream.relayHeaders(stream, upstream.facts);
  expect([stream.isLocalEnded, downstream.streamCount]).toEqual([true, 0]);
});

/** Answers with the trailers that it got, as content. */
const ECHO: StreamHandler = (stream) => {
  let got: IncomingHttpHeaders = {};
  stream.on('trailers', (trailers: IncomingHttpHeaders) => {
    got = trailers;
  });
  stream.on('end', () => {
    stream.respond({ ':status': 200 });
    stream.end(JSON.stringify({ ...got }));
  });
  stream.resume();
};

const MATCHES =
  '{ name: X-Role, value: user, mismatch: REPLACE }, { name: X-Debug, value: "no", mismatch: DELETE }';
const POLICY = cnp(`, rules: { http: [{ path: /a, headerMatches: [${MATCHES}] }] }`);

/** The trailers that the origin got; the request is on its way before there is an upstream connection. */
async function seen(
  trailers: Record<string, string>,
  options: RigOptions = {},
): Promise<unknown[]> {
  const origin = await Http2Origin.start({ handler: ECHO });
  const rig = await startRig({ policy: POLICY, ...options, upstreamPort: origin.port });
  const session = connect(`http://127.0.0.1:${rig.port}`);
  cleanups.push(
    () => origin.stop(),
    () => session.destroy(),
  );
  const got: unknown[] = [];
  // The first is held until the upstream is connected, the second is not.
  for (let i = 0; i < 2; i++) {
    const stream = session.request(
      { ':path': '/a', ':method': 'POST', 'x-debug': '1' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    stream.end('x');
    stream.setEncoding('utf8');
    let text = '';
    for await (const chunk of stream) text += chunk;
    got.push(JSON.parse(text));
  }
  return got;
}

describe('of a request whose head a rule changed', () => {
  it('what the rule replaced or removed does not come back, nor under another spelling', async () => {
    const trailers = {
      'x-role': 'admin',
      x_role: 'admin',
      'x-debug': '1',
      'x.debug': '1',
      'x-sum': '5',
    };
    expect(await seen(trailers)).toEqual([{ 'x-sum': '5' }, { 'x-sum': '5' }]);
  });

  it.each(['DELETE', 'LOG', 'ADD', 'REPLACE'])(
    'a field that a match with %s looked for in vain does not come behind it',
    async (mismatch) => {
      const match = `{ name: X-Role, value: user, mismatch: ${mismatch} }`;
      const policy = cnp(`, rules: { http: [{ path: /a, headerMatches: [${match}] }] }`);
      const trailers = { 'x-role': 'admin', x_role: 'admin', 'x-sum': '5' };
      expect(await seen(trailers, { policy })).toEqual([{ 'x-sum': '5' }, { 'x-sum': '5' }]);
    },
  );

  it('that are nothing else: the request ends without any', async () => {
    expect(await seen({ 'x-role': 'admin' })).toEqual([{}, {}]);
  });
});

it.each([
  ['allow', { x_sum: '1', 'x-sum': '2' }],
  ['drop', { 'x-sum': '2' }],
] as const)('with an underscore, by the action %s', async (underscores, expected) => {
  const options = { policy: cnp(''), behaviour: { underscores } };
  expect(await seen({ x_sum: '1', 'x-sum': '2' }, options)).toEqual([expected, expected]);
});

it('of gRPC stay what they are', async () => {
  const origin = await Http2Origin.start({
    handler: (stream) => {
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc' },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () =>
        stream.sendTrailers({ 'grpc-status': '5', 'grpc-message': 'no', 'x-detail-bin': 'AA' }),
      );
      stream.end(Buffer.alloc(5));
    },
  });
  const rig = await startRig({ policy: cnp(''), upstreamPort: origin.port });
  const client = new Http2Client(rig.port);
  cleanups.push(
    () => origin.stop(),
    () => client.close(),
  );
  const answer = await client.ask({ ':path': '/s/m', ':method': 'POST' }, Buffer.alloc(5));
  expect({ ...answer.trailers }).toMatchObject({
    'grpc-status': '5',
    'grpc-message': 'no',
    'x-detail-bin': 'AA',
  });
});
