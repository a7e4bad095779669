/** The HTTP/2 origin of the benchmarks, asked by Node's own client. */
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONTENT, startOrigin } from '../../../bench/subjects/origin.ts';
import type { Subject } from '../../../bench/subjects/subject.ts';

let directory = '';
let origin: Subject;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sallyport-bench-'));
  origin = await startOrigin({ directory, version: 'h2', place: 'other' });
});

afterAll(async () => {
  await origin.stop();
  await rm(directory, { recursive: true, force: true });
});

describe('the origin', () => {
  it.each([
    ['GET', '/orders/1', '', CONTENT.length],
    ['GET', '/bytes/0', '', 0],
    ['GET', '/bytes/200000', '', 200_000],
    ['POST', '/upload', 'x'.repeat(300_000), CONTENT.length],
  ])('%s %s', async (method, path, content, bytes) => {
    expect(await ask(method, path, content)).toEqual({ status: 200, bytes });
  });
});

/** More than a window both ways: who does not give credit back stands still. */
function ask(
  method: string,
  path: string,
  content: string,
): Promise<{ readonly status: number; readonly bytes: number }> {
  return new Promise((resolve, reject) => {
    const session = connect(origin.url);
    session.on('error', reject);
    const stream = session.request({ ':method': method, ':path': path });
    let status = 0;
    let bytes = 0;
    stream.on('response', (head) => {
      status = head[':status'] ?? 0;
    });
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.on('error', reject);
    stream.on('end', () => session.close(() => resolve({ status, bytes })));
    if (content !== '') stream.end(content);
  });
}
