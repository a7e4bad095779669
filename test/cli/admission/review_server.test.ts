/** The server over TLS: bodies without end, connections without requests, judging that takes too long; and its end. */
import { connect } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
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
const CA = AUTHORITY.certificate;
const PAIR = issueServer(AUTHORITY, ['127.0.0.1'], VALIDITY);

interface Answer {
  readonly status: number;
  readonly text: string;
}

interface Rig {
  readonly server: ReviewServer;
  readonly port: number;
  readonly outcomes: readonly ReviewOutcome[];
  /** `from`: a local address. */
  ask(path: string, body?: string, from?: string): Promise<Answer>;
  end(): Promise<void>;
}

const rigs: Rig[] = [];

afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.end();
});

interface RigParts {
  readonly authority?: KeyPair;
  readonly threadCount?: number;
}

async function rig(
  changes: Partial<Limits> = {},
  { authority = AUTHORITY, threadCount = 1 }: RigParts = {},
): Promise<Rig> {
  const limits = { ...DEFAULT_LIMITS, ...changes };
  const { clock, timers } = nodePlatform();
  const settings = { limits, hasNodeLabels: false };
  const threads = new ReviewThreads({ settings, threadCount, clock, timers });
  const outcomes: ReviewOutcome[] = [];
  const onReview = (outcome: ReviewOutcome): void => void outcomes.push(outcome);
  const server = new ReviewServer({ limits, threads, notReady: () => null, onReview }, PAIR);
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  const ca = authority.certificate;
  const agents = new Map<string, Agent>();
  const agentOf = (localAddress: string): Agent => {
    const known = agents.get(localAddress);
    const agent = known ?? new Agent({ connect: { ca }, localAddress, connections: 200 });
    agents.set(localAddress, agent);
    return agent;
  };
  const made: Rig = {
    server,
    port,
    outcomes,
    ask: async (path, body, from = '127.0.0.1') => {
      const { statusCode: status, body: read } = await request(`https://127.0.0.1:${port}${path}`, {
        dispatcher: agentOf(from),
        method: body === undefined ? 'GET' : 'POST',
        ...(body === undefined ? {} : { body }),
      });
      return { status, text: await read.text() };
    },
    end: async () => {
      server.closeAll();
      await server.close();
      await Promise.all([...agents.values()].map((agent) => agent.destroy()));
      await threads.end();
    },
  };
  rigs.push(made);
  return made;
}

const PATIENT = { admissionJudgeTimeoutMs: 30_000, admissionReviewTimeoutMs: 30_000 };

/** Sends the beginning of a review, and no more. */
function begun(port: number, from: string, body: string): TLSSocket {
  const raw = connect({ port, host: '127.0.0.1', localAddress: from });
  const socket = connectTls({ socket: raw, host: '127.0.0.1', ca: CA });
  socket.on('error', () => {});
  socket.write(`POST /validate HTTP/1.1\r\nhost: a\r\ncontent-length: 8000000\r\n\r\n${body}`);
  return socket;
}

/** The same review in many more bytes. */
function padded(review: string, byteCount: number): string {
  return `${review}${' '.repeat(byteCount)}`;
}

function reviewOf(ruleCount: number, namespace = 'shop'): string {
  const http = Array.from({ length: ruleCount }, (_, n) => ({ path: `/a${n}/[a-z]*x.*[0-9]+` }));
  const ports = [{ port: '80', protocol: 'TCP' }];
  const object = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name: 'p', namespace },
    spec: { endpointSelector: {}, ingress: [{ toPorts: [{ ports, rules: { http } }] }] },
  };
  const kind = { group: 'cilium.io', version: 'v2', kind: 'CiliumNetworkPolicy' };
  const parts = { uid: 'u', kind, operation: 'CREATE', namespace, name: 'p', object };
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
      Array.from({ length: 30 }, () => ask('/validate', body).catch(() => ({ status: 500 }))),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([400, 500]));
    expect((await ask('/validate', body)).status).toBe(400);
  });

  it('ends a review that takes too long, and judges the next', async () => {
    const { ask } = await rig({ admissionReviewTimeoutMs: 150 });
    await ask('/validate', reviewOf(1));
    const slow = await ask('/validate', reviewOf(20_000));
    expect(slow).toEqual({ status: 500, text: 'the review was not judged within 150 ms\n' });
    await until(async () => (await ask('/validate', reviewOf(1))).status === 200, 20_000);
  });

  it('keeps to the time that the API server has, and stays alive meanwhile', async () => {
    const { ask } = await rig();
    await ask('/validate', reviewOf(1));
    const slow = ask('/validate?timeout=1s', reviewOf(20_000));
    expect((await ask('/livez')).status).toBe(200);
    expect((await slow).status).toBe(500);
  });

  it('ends a policy that takes a thread for too long, and says so', async () => {
    const { ask, outcomes } = await rig({ admissionJudgeTimeoutMs: 150 });
    await ask('/validate', reviewOf(1));
    expect(await ask('/validate', reviewOf(20_000))).toEqual({
      status: 500,
      text: 'the policy takes longer than 150 ms (limits.admissionJudgeTimeoutMs) to judge\n',
    });
    expect(outcomes.at(-1)).toBe('too-slow');
  });

  it('judges others while a tenant has policies that take long', async () => {
    const { ask, outcomes } = await rig(PATIENT, { threadCount: 2 });
    await ask('/validate', reviewOf(1));
    // As many as there are threads, and more; they are given up with the server.
    for (let n = 0; n < 4; n++) ask('/validate', reviewOf(20_000, 'slow')).catch(() => {});
    for (let n = 0; n < 3; n++) {
      expect((await ask('/validate', reviewOf(1, 'other'))).status).toBe(200);
    }
    expect(outcomes).toEqual(['allowed', 'allowed', 'allowed', 'allowed']);
  });

  it('answers 500 when too many of one tenant wait, with its name, and judges others', async () => {
    const { ask } = await rig({ admissionTenantWaitingCountMax: 2 });
    const answers = Array.from({ length: 10 }, () => ask('/validate', reviewOf(500)));
    const other = ask('/validate', reviewOf(1, 'other'));
    const texts = (await Promise.all(answers)).map(({ text }) => text);
    expect(texts).toContain('too many reviews of the namespace shop wait to be judged\n');
    expect((await other).status).toBe(200);
  });

  it('answers probes and reviews of others while one address has all connections', async () => {
    const { ask, port } = await rig({ admissionConnectionCountMax: 20 });
    const flood = Array.from({ length: 60 }, () =>
      connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' }).on('error', () => {}),
    );
    try {
      await until(() => flood.filter(({ destroyed }) => destroyed).length >= 40);
      expect((await ask('/livez')).status).toBe(200);
      expect((await ask('/validate', reviewOf(1), '127.0.0.3')).status).toBe(200);
    } finally {
      for (const socket of flood) socket.destroy();
    }
  });

  it('takes no more connections of one address than its part', async () => {
    const { ask, port } = await rig({ admissionClientConnectionCountMax: 5 });
    const flood = Array.from({ length: 20 }, () =>
      connect({ port, host: '127.0.0.1', localAddress: '127.0.0.2' }).on('error', () => {}),
    );
    try {
      await until(() => flood.filter(({ destroyed }) => destroyed).length === 15);
      expect((await ask('/livez')).status).toBe(200);
    } finally {
      for (const socket of flood) socket.destroy();
    }
    const isBack = (): Promise<boolean> =>
      ask('/livez', undefined, '127.0.0.2').then(
        ({ status }) => status === 200,
        () => false,
      );
    await until(isBack);
  });

  it('takes no more bodies of one address than its part of memory is for', async () => {
    const { ask } = await rig({ admissionClientBytesMax: 1_048_576 });
    const body = JSON.stringify({ filler: 'x'.repeat(300_000) });
    const askFrom = (from: string): Promise<number> =>
      ask('/validate', body, from).then(
        ({ status }) => status,
        () => 500,
      );
    const greedy = Array.from({ length: 30 }, () => askFrom('127.0.0.2'));
    const others = Array.from({ length: 3 }, () => askFrom('127.0.0.3'));
    expect(new Set(await Promise.all(greedy))).toEqual(new Set([400, 500]));
    expect(await Promise.all(others)).toEqual([400, 400, 400]);
    expect(await askFrom('127.0.0.2')).toBe(400);
  });

  it.each([
    ['of one address under many names', '127.0.0.2', (n: number) => `t${n}`],
    ['of some namespaces', '127.0.0.1', (n: number) => `t${n % 3}`],
  ])('judges others while reviews %s take all places', async (_about, from, namespaceOf) => {
    const { ask, outcomes } = await rig({ ...PATIENT, admissionWaitingCountMax: 9 });
    await ask('/validate', reviewOf(1));
    // They are given up with the server.
    for (let n = 0; n < 30; n++) {
      ask('/validate', reviewOf(5000, namespaceOf(n)), from).catch(() => {});
    }
    await until(() => outcomes.includes('overloaded'));
    expect((await ask('/validate', reviewOf(1, 'other'))).status).toBe(200);
  });

  it('reads reviews of others while some addresses have all memory for bodies', async () => {
    const bounds = { admissionMemoryBytesMax: 2_000_000, admissionClientBytesMax: 1_048_576 };
    const { ask, port, outcomes } = await rig(bounds);
    const body = 'x'.repeat(900_000);
    const greedy = ['127.0.0.2', '127.0.0.3', '127.0.0.4'].map((from) => begun(port, from, body));
    try {
      await until(() => outcomes.includes('overloaded'));
      expect((await ask('/validate', padded(reviewOf(1), 300_000))).status).toBe(200);
    } finally {
      for (const socket of greedy) socket.destroy();
    }
  });

  it('reads reviews of others while some namespaces have all memory of an address', async () => {
    const { ask, outcomes } = await rig({ ...PATIENT, admissionClientBytesMax: 1_048_576 });
    await ask('/validate', reviewOf(1));
    for (let n = 0; n < 30; n++) {
      ask('/validate', padded(reviewOf(5000, `t${n % 2}`), 200_000)).catch(() => {});
    }
    await until(() => outcomes.includes('overloaded'));
    const small = ask('/validate', padded(reviewOf(1, 'other'), 50_000));
    expect((await small).status).toBe(200);
  });

  it('takes bodies in chunks of a byte', async () => {
    const { ask, port } = await rig();
    const socket = connectTls({ port, host: '127.0.0.1', ca: CA }).on('error', () => {});
    const chunks = [...reviewOf(1)].map((byte) => `1\r\n${byte}\r\n`).join('');
    const head = 'POST /validate HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n';
    socket.write(`${head}${chunks}0\r\n\r\n`);
    let text = '';
    socket.on('data', (data) => {
      text += data;
    });
    await until(() => text.includes('"allowed":true'), 20_000);
    socket.destroy();
    expect((await ask('/livez')).status).toBe(200);
  });

  it('answers 500 when too many wait', async () => {
    const { ask } = await rig({ admissionWaitingCountMax: 2 });
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => ask('/validate', reviewOf(500))),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(2);
    expect(statuses).toContain(500);
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
