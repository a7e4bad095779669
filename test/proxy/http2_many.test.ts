/** Many streams of one client over an upstream that takes few, and what is judged beside them. */
import { afterEach, describe, expect, it } from 'vitest';
import { Http2Client, Http2Origin } from '../support/http2_peers.ts';
import { closeRigs, cnp, startRig } from '../support/plane_rig.ts';

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
