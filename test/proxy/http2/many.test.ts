/** Many streams of one client over an upstream that takes few, and what is judged beside them. */
import { afterEach, describe, expect, it } from 'vitest';
import { Http2Client, Http2Origin, type StreamHandler } from '../../support/http2_peers.ts';
import { allowHttp, closeRigs, cnp, startRig } from '../../support/plane_rig.ts';
import { SeededRandom } from '../../support/seeded_random.ts';

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  closeRigs();
});

const DRY_RUN_PUT = cnp(', rules: { http: [{ method: PUT }] }', {
  name: 'dry',
  annotations: 'sallyport.dev/dry-run: "true"',
});

describe('300 requests at once', () => {
  it.each([1, 100])(
    'over an upstream that takes %d: each is answered, upstream in order, with one record and its shadow verdict',
    async (maxConcurrentStreams) => {
      const origin = await Http2Origin.start({ settings: { maxConcurrentStreams } });
      const rig = await startRig({ policy: DRY_RUN_PUT, upstreamPort: origin.port });
      const client = new Http2Client(rig.port);
      cleanups.push(
        () => client.close(),
        () => origin.stop(),
      );
      const paths = Array.from({ length: 300 }, (_, i) => `/${i}`);
      const answers = await Promise.all(paths.map((path) => client.ask({ ':path': path })));
      expect(answers.map(({ status }) => status)).toEqual(paths.map(() => 200));
      expect(answers.map(({ text }) => text)).toEqual(paths.map((path) => `GET ${path} 0`));
      if (maxConcurrentStreams === 1) {
        expect(origin.seen.map(({ headers }) => headers[':path'])).toEqual(paths);
      }
      expect(origin.sessions).toHaveLength(1);
      const records = await rig.recorder.untilRecords(300);
      expect(records).toHaveLength(300);
      for (const record of records) {
        expect(record).toMatchObject({
          verdict: 'forwarded',
          decision: { verdict: 'allow' },
          shadowDecision: { verdict: 'deny' },
        });
      }
    },
  );
});

/** Sends back what it gets, in pieces as they come. */
const echo: StreamHandler = (stream) => {
  stream.respond({ ':status': 200 });
  stream.pipe(stream);
};

describe('content of many streams at once', () => {
  it.each([
    [1, 70_000, 70_000],
    [777, 1000, 1_000_000],
    [65_535, 1, 300],
  ])(
    'arrives as it was sent, both ways: windows of %d, %d and pieces up to %d',
    async (ours, theirs, most) => {
      const settings = { initialWindowSize: theirs === 1 ? 5000 : theirs };
      const origin = await Http2Origin.start({ handler: echo, settings });
      const rig = await startRig({
        policy: allowHttp('*'),
        upstreamPort: origin.port,
        limits: { h2StreamWindowBytes: Math.max(1024, ours), h2ConnectionWindowBytes: 65_536 },
      });
      const client = new Http2Client(rig.port);
      cleanups.push(
        () => client.close(),
        () => origin.stop(),
      );
      client.session.settings({ initialWindowSize: 3000 });
      const random = new SeededRandom(ours);
      const sent = Array.from({ length: 30 }, () => contentOf(random, most));
      const got = await Promise.all(sent.map((pieces, i) => echoed(client, i, pieces)));
      got.forEach((bytes, i) => {
        expect(bytes.equals(Buffer.concat(sent[i] as Buffer[]))).toBe(true);
      });
      await rig.recorder.untilStreamsOver(30);
      expect(rig.recorder.resetSummaries).toEqual([]);
      expect(new Set(rig.recorder.summaries.map((one) => one.replace(/\d+$/, '')))).toEqual(
        new Set(['forwarded allowed 200 /']),
      );
    },
  );
});

function contentOf(random: SeededRandom, most: number): Buffer[] {
  return Array.from({ length: 1 + random.below(6) }, () => {
    const piece = Buffer.alloc(Math.min(200_000, 1 + random.below(most)));
    for (let i = 0; i < piece.length; i += 7) piece[i] = random.below(256);
    return piece;
  });
}

function echoed(client: Http2Client, i: number, pieces: readonly Buffer[]): Promise<Buffer> {
  const stream = client.session.request({ ':path': `/${i}`, ':method': 'POST' });
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => {});
  for (const piece of pieces) stream.write(piece);
  stream.end();
  return new Promise((resolve) => stream.on('close', () => resolve(Buffer.concat(chunks))));
}
