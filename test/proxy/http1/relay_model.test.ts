/**
 * The relay against a model: whatever requests come, however they are cut and pipelined, the client
 * gets exactly the responses that it should, the origin sees exactly the requests that are allowed,
 * and there is one record for each.
 */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { runLlhttp } from '../../support/llhttp.ts';
import { allowHttp, closeRigs, startRig } from '../../support/plane_rig.ts';
import type { OriginConnection } from '../../support/raw_origin.ts';

afterEach(closeRigs);

type Body = { readonly kind: 'none' | 'length' | 'chunked'; readonly text: string };

interface Asked {
  readonly method: 'GET' | 'POST' | 'HEAD';
  readonly isAllowed: boolean;
  readonly body: Body;
  readonly response: Answer;
}

/** How the origin answers; told to it by the path. */
interface Answer {
  readonly kind: 'length' | 'chunked' | 'empty' | 'hinted';
  readonly text: string;
}

const text = fc.string({
  unit: fc.constantFrom('a', 'Z', '\r', '\n', '0', ' ', '/'),
  maxLength: 40,
});
const asked: fc.Arbitrary<Asked> = fc.record({
  method: fc.constantFrom('GET', 'POST', 'HEAD'),
  isAllowed: fc.boolean(),
  body: fc.oneof(
    fc.constant<Body>({ kind: 'none', text: '' }),
    text.map<Body>((body) => ({ kind: 'length', text: body })),
    text.map<Body>((body) => ({ kind: 'chunked', text: body })),
  ),
  response: fc.record({
    kind: fc.constantFrom('length', 'chunked', 'empty', 'hinted'),
    text,
  }),
});

describe('the relay is what its model says', () => {
  it('for any requests, any cuts, any pipelining, any half-close', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(asked, { minLength: 1, maxLength: 6 }),
        fc.array(fc.nat(400), { maxLength: 8 }),
        fc.boolean(),
        check,
      ),
      // Shrinking would wait for each thing that does not come: the seed is enough.
      { numRuns: 150, endOnFailure: true },
    );
  });
});

/** Content on a method that has none by default ends the connection after its response. */
function isLast({ method, isAllowed, body }: Asked): boolean {
  const hasContent = body.kind === 'chunked' || (body.kind === 'length' && body.text !== '');
  return isAllowed && method !== 'POST' && hasContent;
}

async function check(
  all: readonly Asked[],
  cuts: readonly number[],
  isHalfClosed: boolean,
): Promise<void> {
  const last = all.findIndex(isLast);
  const requests = last === -1 ? all : all.slice(0, last + 1);
  const answers = requests.filter(({ isAllowed }) => isAllowed);
  const rig = await startRig({
    policy: allowHttp('* /ok/.*'),
    script: (connection) => answerWhole(connection, answers),
  });
  const client = await rig.client();
  const stream = all.map(requestText).join('');
  for (const piece of pieces(stream, cuts)) {
    client.send(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (isHalfClosed) client.end();
  const expected = requests.map(replyText).join('');
  await rig.recorder.untilRecords(requests.length);
  if (isHalfClosed || last !== -1) await client.over();
  else await client.untilBytes(expected.length);
  expect(client.received.replaceAll('connection: close\r\n', '')).toBe(expected);
  expect(rig.origin.received.replaceAll('connection: close\r\n', '')).toBe(
    answers.map(requestText).join(''),
  );
  expect(rig.recorder.records.map(({ verdict, fault }) => [verdict, fault])).toEqual(
    requests.map(({ isAllowed }) => [isAllowed ? 'forwarded' : 'denied', null]),
  );
  expect(rig.origin.connections.length).toBeLessThanOrEqual(1);
  closeRigs();
}

/** Answers each request once all of it is there, as another parser sees it. */
function answerWhole(connection: OriginConnection, answers: readonly Asked[]): void {
  const { messages } = runLlhttp(Buffer.from(connection.received, 'latin1'), 'request');
  const wholeCount = messages.filter(({ isComplete }) => isComplete).length;
  const answeredCount = answered.get(connection) ?? 0;
  for (const one of answers.slice(answeredCount, wholeCount)) connection.send(responseText(one));
  answered.set(connection, wholeCount);
}

const answered = new WeakMap<OriginConnection, number>();

function requestText({ method, isAllowed, body }: Asked): string {
  const head = `${method} /${isAllowed ? 'ok' : 'no'}/x HTTP/1.1\r\nhost: x\r\n`;
  if (body.kind === 'none') return `${head}\r\n`;
  if (body.kind === 'length')
    return `${head}content-length: ${body.text.length}\r\n\r\n${body.text}`;
  return `${head}transfer-encoding: chunked\r\n\r\n${chunked(body.text)}`;
}

function responseText({ method, response }: Asked): string {
  const isHead = method === 'HEAD';
  if (response.kind === 'empty') return 'HTTP/1.1 204 No Content\r\n\r\n';
  const hint = response.kind === 'hinted' ? 'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n' : '';
  if (response.kind === 'chunked') {
    const body = isHead ? '' : chunked(response.text);
    return `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${body}`;
  }
  const body = isHead ? '' : response.text;
  return `${hint}HTTP/1.1 200 OK\r\ncontent-length: ${response.text.length}\r\n\r\n${body}`;
}

function replyText(one: Asked): string {
  if (one.isAllowed) return responseText(one);
  const head = 'HTTP/1.1 403 Forbidden\r\ncontent-length: 15\r\ncontent-type: text/plain\r\n\r\n';
  return one.method === 'HEAD' ? head : `${head}Access denied\r\n`;
}

function chunked(body: string): string {
  const half = body.slice(0, body.length >> 1);
  const rest = body.slice(half.length);
  const chunk = (part: string): string =>
    part === '' ? '' : `${part.length.toString(16)}\r\n${part}\r\n`;
  return `${chunk(half)}${chunk(rest)}0\r\n\r\n`;
}

function pieces(stream: string, cuts: readonly number[]): string[] {
  const at = [...new Set([0, ...cuts.map((cut) => cut % stream.length), stream.length])];
  at.sort((a, b) => a - b);
  return at.slice(1).map((end, i) => stream.slice(at[i], end));
}
