/**
 * An upstream that answers with damaged streams: the client reads one response for each request, the
 * one that its record tells of, and no byte that nobody asked for.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { streamOf } from '../support/http1_streams.ts';
import { type OracleMessage, runLlhttp } from '../support/llhttp.ts';
import { closeRigs, type Rig, startRig } from '../support/plane_rig.ts';

afterEach(closeRigs);

const STREAM_COUNT = 400;
const FIRST_SEED = 20_260_201;
const GET = 'GET /a HTTP/1.1\r\nhost: x\r\n\r\n';

describe('a damaged stream of responses, sent whole after the first of three requests', () => {
  it(`seeds ${FIRST_SEED} to ${FIRST_SEED + STREAM_COUNT - 1}`, async () => {
    let stream = '';
    const rig = await startRig({
      script: (connection) => {
        connection.end(stream);
        stream = '';
      },
    });
    let relayed = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + STREAM_COUNT; seed++) {
      stream = streamOf(seed, 'response');
      const sent = stream;
      const received = await ask(rig);
      try {
        relayed += checkResponses(received, rig);
      } catch (error) {
        throw new Error(`seed ${seed}: ${JSON.stringify(sent)}`, { cause: error });
      }
      rig.recorder.records.length = 0;
    }
    expect(relayed).toBeGreaterThan(STREAM_COUNT / 4);
  });
});

async function ask(rig: Rig): Promise<string> {
  const closedBefore = rig.recorder.closed.length;
  const client = await rig.client();
  client.send(GET + GET + GET);
  const { text } = await client.over();
  await rig.recorder.untilClosed(closedBefore + 1);
  return text;
}

/** How many responses of the upstream passed. */
function checkResponses(received: string, rig: Rig): number {
  const { records } = rig.recorder;
  const answered = records.filter(({ responseSource }) => responseSource !== 'none');
  const read = runLlhttp(Buffer.from(received, 'latin1'), 'response');
  const finals = read.messages.filter(({ status }) => status >= 200);
  // A reset may overtake the last bytes, so the client may have read less than was sent to it.
  expect(finals.length).toBeLessThanOrEqual(answered.length);
  expect(finals.map(({ status }) => status)).toEqual(
    answered.slice(0, finals.length).map(({ status }) => status),
  );
  // Everything came at once: a second response was asked for by nobody.
  const fromUpstream = answered.filter(({ responseSource }) => responseSource === 'upstream');
  expect(fromUpstream.length).toBeLessThanOrEqual(1);
  for (const [index, message] of finals.entries()) {
    if (answered[index]?.fault === null) checkWhole(message);
  }
  expect(read.error).toBe('');
  return fromUpstream.length;
}

function checkWhole(message: OracleMessage): void {
  expect(message.isComplete).toBe(true);
}
