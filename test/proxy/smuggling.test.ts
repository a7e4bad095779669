/**
 * What an upstream reads is what was judged: the same number of requests, the same targets, the same
 * content. The upstream is Node's server at its most forgiving.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { RequestRecord } from '../../src/model/record.ts';
import { runRequests } from '../support/http1_driver.ts';
import { streamOf } from '../support/http1_streams.ts';
import { hashOf, LenientOrigin } from '../support/lenient_origin.ts';
import { allowHttp, closeRigs, type Rig, startRig } from '../support/plane_rig.ts';

const STREAM_COUNT = 400;
const FIRST_SEED = 20_260_101;

let origins: LenientOrigin[] = [];

afterEach(() => {
  closeRigs();
  for (const origin of origins) origin.stop();
  origins = [];
});

describe('a hidden request is never seen behind an allowed one', () => {
  const HIDDEN = 'GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n';
  const post = (fields: string, content: string): string =>
    `POST /a HTTP/1.1\r\nhost: x\r\n${fields}\r\n${content}`;
  const cases: readonly [about: string, stream: string][] = [
    ['in content by length', post(`content-length: ${HIDDEN.length}\r\n`, HIDDEN)],
    [
      'in content by chunks',
      post(
        'transfer-encoding: chunked\r\n',
        `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`,
      ),
    ],
    ['CL.TE', post('content-length: 40\r\ntransfer-encoding: chunked\r\n', `0\r\n\r\n${HIDDEN}`)],
    [
      'TE.CL',
      post('transfer-encoding: chunked\r\ncontent-length: 3\r\n', `1\r\nx\r\n0\r\n\r\n${HIDDEN}`),
    ],
    ['TE with a blank', post('transfer-encoding : chunked\r\n', `0\r\n\r\n${HIDDEN}`)],
    [
      'TE with a tab',
      post('transfer-encoding:\tchunked\r\ncontent-length: 4\r\n', `0\r\n\r\n${HIDDEN}`),
    ],
    [
      'TE twice',
      post('transfer-encoding: chunked\r\ntransfer-encoding: x\r\n', `0\r\n\r\n${HIDDEN}`),
    ],
    ['two lengths', post(`content-length: 0\r\ncontent-length: ${HIDDEN.length}\r\n`, HIDDEN)],
    ['a signed length', post('content-length: +0\r\n', HIDDEN)],
    [
      'a length that Connection names',
      post(`connection: content-length\r\ncontent-length: ${HIDDEN.length}\r\n`, HIDDEN),
    ],
    [
      'a chunk extension with a line feed',
      post('transfer-encoding: chunked\r\n', `1;a\nb\r\nx\r\n0\r\n\r\n${HIDDEN}`),
    ],
    [
      'a chunk size too large to count',
      post('transfer-encoding: chunked\r\n', `ffffffffffffffff1\r\nx\r\n0\r\n\r\n${HIDDEN}`),
    ],
    ['a trailer', post('transfer-encoding: chunked\r\n', `0\r\nx: ${'y'}\r\n\r\n`)],
    ['a bare CR in a field', `GET /a HTTP/1.1\r\nhost: x\r\nx: a\r${HIDDEN}\r\n\r\n`],
    ['a bare LF as an end', `GET /a HTTP/1.1\r\nhost: x\n\n${HIDDEN}`],
    [
      'a target with blanks',
      `GET /a HTTP/1.1\r\nhost: x\r\n\r\nGET /a /hidden HTTP/1.1\r\nhost: x\r\n\r\n`,
    ],
    [
      'an upgrade that is not accepted',
      `GET /a HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n${HIDDEN}`,
    ],
    [
      'an h2c upgrade',
      `GET /a HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AA\r\n\r\n${HIDDEN}`,
    ],
    [
      'an expectation',
      post(`expect: 100-continue\r\ncontent-length: ${HIDDEN.length}\r\n`, HIDDEN),
    ],
    [
      'content of a GET',
      `GET /a HTTP/1.1\r\nhost: x\r\ncontent-length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
    ],
    [
      'content of a denied request',
      `POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
    ],
    ['dot segments', 'GET /a/../hidden HTTP/1.1\r\nhost: x\r\n\r\n'],
    ['escaped slashes', 'GET /a/..%2fhidden HTTP/1.1\r\nhost: x\r\n\r\n'],
    ['a fragment', 'GET /a#/../hidden HTTP/1.1\r\nhost: x\r\n\r\n'],
    ['an absolute form', 'GET http://x/hidden HTTP/1.1\r\nhost: x\r\n\r\n'],
  ];
  for (const [about, stream] of cases) {
    it(about, async () => {
      const { rig, origin } = await start(allowHttp('GET /a', 'POST /a'));
      await send(rig, origin, stream);
      expect(origin.seen.filter(({ line }) => !/^(GET|POST) \/a$/.test(line))).toEqual([]);
      expect(origin.refused).toEqual([]);
      agrees(stream, rig, origin);
    });
  }
});

describe('damaged streams', () => {
  it(`seeds ${FIRST_SEED} to ${FIRST_SEED + STREAM_COUNT - 1}: judged is seen`, async () => {
    const { rig, origin } = await start(allowHttp('GET', 'POST', 'OPTIONS', 'PUT /never'));
    let forwarded = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + STREAM_COUNT; seed++) {
      const stream = streamOf(seed);
      await send(rig, origin, stream);
      forwarded += origin.seen.length;
      try {
        agrees(stream, rig, origin);
      } catch (error) {
        throw new Error(`seed ${seed}: ${JSON.stringify(stream)}`, { cause: error });
      }
      rig.recorder.records.length = 0;
      origin.seen.length = 0;
    }
    expect(forwarded).toBeGreaterThan(STREAM_COUNT / 4);
  });
});

async function start(policy: string): Promise<{ rig: Rig; origin: LenientOrigin }> {
  const origin = await LenientOrigin.start();
  origins.push(origin);
  return { rig: await startRig({ policy, upstreamPort: origin.port }), origin };
}

/** Sends all and half-closes, so that each stream ends by itself. */
async function send(rig: Rig, origin: LenientOrigin, stream: string): Promise<void> {
  const closedBefore = rig.recorder.closed.length;
  const client = await rig.client();
  client.send(stream);
  client.end();
  await client.over();
  await rig.recorder.untilClosed(closedBefore + 1);
  await origin.untilClosed(rig.recorder.connects.length);
}

function agrees(stream: string, rig: Rig, origin: LenientOrigin): void {
  const read = runRequests(stream).messages;
  const { records } = rig.recorder;
  const allowed = records.filter(({ decision }) => decision?.verdict === 'allow');
  // Whatever upstream saw was allowed, in that order, and all that it answered was seen.
  expect(origin.seen.map(({ line }) => line)).toEqual(
    allowed.slice(0, origin.seen.length).map(lineOf),
  );
  const answered = allowed.filter(({ responseSource }) => responseSource === 'upstream');
  expect(origin.seen.length).toBeGreaterThanOrEqual(answered.length);
  // Every request that was read has its record, in order, up to where the connection ended.
  const judged = records.filter(({ head }) => head !== null).map(lineOf);
  expect(judged).toEqual(
    read.slice(0, judged.length).map(({ head }) => `${head.method} ${head.path}`),
  );
  for (const [index, seen] of origin.seen.entries()) {
    if (!seen.isComplete) continue;
    const record = allowed[index] as RequestRecord;
    const message = read[records.filter(({ head }) => head !== null).indexOf(record)];
    expect(seen.hash).toBe(hashOf(unchunked(message?.content ?? '', message?.head.framing)));
  }
}

function lineOf({ head }: RequestRecord): string {
  return `${head?.method} ${head?.path}`;
}

/** The content that chunks carry; ours are in their simplest form. */
function unchunked(content: string, framing: string | undefined): string {
  if (framing !== 'chunked') return content;
  let rest = content;
  let text = '';
  for (;;) {
    const lineEnd = rest.indexOf('\r\n');
    const size = Number.parseInt(rest.slice(0, lineEnd), 16);
    if (lineEnd === -1 || size === 0 || Number.isNaN(size)) return text;
    text += rest.slice(lineEnd + 2, lineEnd + 2 + size);
    rest = rest.slice(lineEnd + 2 + size + 2);
  }
}
