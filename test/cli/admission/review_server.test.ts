/** The server over TLS: bodies without end, connections without requests, judging that takes too long; and its end. */
import { connect } from 'node:net';
import { Agent, request } from 'undici';
import { afterEach, describe, expect, it } from 'vitest';
import {
  issueAuthority,
  issueServer,
  type KeyPair,
} from '../../../src/cli/admission/certificate.ts';
import type { ReviewOutcome } from '../../../src/cli/admission/reply.ts';
import { ReviewServer } from '../../../src/cli/admission/review_server.ts';
import { ReviewThreads } from '../../../src/cli/admission/review_threads.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../src/model/limits.ts';
import { nodePlatform } from '../../../src/platform/node_platform.ts';
import { until } from '../../support/until.ts';

const VALIDITY = { notBeforeMs: Date.now() - 1000, notAfterMs: Date.now() + 3_600_000 };
const AUTHORITY = issueAuthority('a test', VALIDITY);
const PAIR = issueServer(AUTHORITY, ['127.0.0.1'], VALIDITY);

interface Answer {
  readonly status: number;
  readonly text: string;
}

interface Rig {
  readonly server: ReviewServer;
  readonly port: number;
  readonly outcomes: readonly ReviewOutcome[];
  ask(path: string, body?: string): Promise<Answer>;
  end(): Promise<void>;
}

const rigs: Rig[] = [];

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.end();
});

async function rig(changes: Partial<Limits> = {}, authority: KeyPair = AUTHORITY): Promise<Rig> {
  const limits = { ...DEFAULT_LIMITS, ...changes };
  const { timers } = nodePlatform();
  const settings = { limits, hasNodeLabels: false };
  const waitingCountMax = limits.admissionWaitingCountMax;
  const threads = new ReviewThreads({ settings, threadCount: 1, waitingCountMax, timers });
  const outcomes: ReviewOutcome[] = [];
  const onReview = (outcome: ReviewOutcome): void => void outcomes.push(outcome);
  const server = new ReviewServer({ limits, threads, notReady: () => null, onReview }, PAIR);
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  const agent = new Agent({ connect: { ca: authority.certificate }, connections: 200 });
  const made: Rig = {
    server,
    port,
    outcomes,
    ask: async (path, body) => {
      const { statusCode: status, body: read } = await request(`https://127.0.0.1:${port}${path}`, {
        dispatcher: agent,
        method: body === undefined ? 'GET' : 'POST',
        ...(body === undefined ? {} : { body }),
      });
      return { status, text: await read.text() };
    },
    end: async () => {
      server.closeAll();
      await server.close();
      await agent.destroy();
      await threads.end();
    },
  };
  rigs.push(made);
  return made;
}

function reviewOf(ruleCount: number): string {
  const http = Array.from({ length: ruleCount }, (_, n) => ({ path: `/a${n}/[a-z]*x.*[0-9]+` }));
  const ports = [{ port: '80', protocol: 'TCP' }];
  const object = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    spec: { endpointSelector: {}, ingress: [{ toPorts: [{ ports, rules: { http } }] }] },
  };
  const kind = { group: 'cilium.io', version: 'v2', kind: 'CiliumNetworkPolicy' };
  const parts = { uid: 'u', kind, operation: 'CREATE', namespace: 'shop', name: 'p', object };
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: parts,
  });
}

describe('the server of reviews', () => {
  it('answers reviews and probes, and nothing else', async () => {
    const { ask, outcomes } = await rig();
    const { status, text } = await ask('/validate?timeout=10s', reviewOf(1));
    expect([status, JSON.parse(text).response.allowed]).toEqual([200, true]);
    expect(await ask('/livez')).toEqual({ status: 200, text: 'ok\n' });
    expect(await ask('/readyz')).toEqual({ status: 200, text: 'ok\n' });
    expect((await ask('/validate')).status).toBe(405);
    expect((await ask('/metrics')).status).toBe(404);
    expect((await ask('/validate', 'x')).status).toBe(400);
    expect(outcomes).toEqual(['allowed', 'malformed']);
  });

  it('takes no body that is too large, and goes on', async () => {
    const { ask } = await rig({ admissionBodyBytesMax: 65_536 });
    const large = await ask('/validate', 'x'.repeat(10_000_000)).catch(() => null);
    expect(large === null || large.status === 413).toBe(true);
    expect((await ask('/validate', reviewOf(1))).status).toBe(200);
  });

  it('takes no more bodies at once than memory is for, and all of it is free again', async () => {
    const { ask } = await rig({ admissionMemoryBytesMax: 1_048_576 });
    const body = JSON.stringify({ filler: 'x'.repeat(300_000) });
    const answers = await Promise.all(
      Array.from({ length: 30 }, () => ask('/validate', body).catch(() => ({ status: 503 }))),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([400, 503]));
    expect((await ask('/validate', body)).status).toBe(400);
  });

  it('ends a review that takes too long, and judges the next', async () => {
    const { ask } = await rig({ admissionReviewTimeoutMs: 150 });
    await ask('/validate', reviewOf(1));
    const slow = await ask('/validate', reviewOf(20_000));
    expect(slow).toEqual({ status: 504, text: 'the review took too long\n' });
    await until(async () => (await ask('/validate', reviewOf(1))).status === 200, 20_000);
  });

  it('keeps to the time that the API server has, and stays alive meanwhile', async () => {
    const { ask } = await rig();
    await ask('/validate', reviewOf(1));
    const slow = ask('/validate?timeout=1s', reviewOf(20_000));
    expect((await ask('/livez')).status).toBe(200);
    expect((await slow).status).toBe(504);
  });

  it('answers 503 when too many wait', async () => {
    const { ask } = await rig({ admissionWaitingCountMax: 2 });
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => ask('/validate', reviewOf(500))),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(2);
    expect(statuses).toContain(503);
  });

  it('is not held up by those who connect and say nothing', async () => {
    const { ask, port } = await rig({ admissionConnectionCountMax: 50 });
    const silent = Array.from({ length: 40 }, () => connect(port, '127.0.0.1'));
    for (const socket of silent) socket.on('error', () => {}).write('GET / HTTP/1.1\r\n');
    try {
      expect((await ask('/validate', reviewOf(1))).status).toBe(200);
    } finally {
      for (const socket of silent) socket.destroy();
    }
  });

  it('serves another certificate from the next handshake on', async () => {
    const first = await rig();
    const other = issueAuthority('another', VALIDITY);
    first.server.renew(issueServer(other, ['127.0.0.1'], VALIDITY));
    const agent = new Agent({ connect: { ca: other.certificate } });
    const { statusCode } = await request(`https://127.0.0.1:${first.port}/livez`, {
      dispatcher: agent,
    });
    expect(statusCode).toBe(200);
    await agent.close();
  });

  it('is not ready while it drains, and answers all the same', async () => {
    const { ask, server } = await rig();
    server.drain();
    expect(await ask('/readyz')).toEqual({ status: 503, text: 'draining\n' });
    expect((await ask('/validate', reviewOf(1))).status).toBe(200);
  });
});
