import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, read, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nodePlatform } from '../../src/platform/node_platform.ts';
import { LineSink } from '../../src/workers/line_sink.ts';

let dir = '';

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sallyport-sink-'));
});

afterEach(() => {
  rmSync(dir, { recursive: true });
});

describe('line sink', () => {
  it('writes everything in order', async () => {
    const path = join(dir, 'out');
    const fd = openSync(path, 'a');
    const sink = sinkTo(fd, 1_000_000);
    const lines = Array.from({ length: 500 }, (_, i) => `line ${i}\n`);
    for (const line of lines) sink.write(line);
    await sink.idle(IDLE_TIMEOUT_MS);
    closeSync(fd);
    expect(readFileSync(path, 'utf8')).toBe(lines.join(''));
    expect(sink.droppedLineCount).toBe(0);
  });

  it('drops whole lines and counts them when the reader does not read', async () => {
    const pipe = join(dir, 'pipe');
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
    const fd = openSync(pipe, 'r+');
    const sink = sinkTo(fd, 200_000);
    const line = `${'x'.repeat(999)}\n`;
    for (let i = 0; i < 500; i++) sink.write(line);
    expect(sink.droppedLineCount).toBe(300);
    const got = Buffer.alloc(200_000);
    for (let length = 0; length < got.length; ) {
      length += await readSome(fd, got, length);
    }
    await sink.idle(IDLE_TIMEOUT_MS);
    expect(got.toString()).toBe(line.repeat(200));
    closeSync(fd);
  });

  it('waits for room on a full disk, for so long, and counts what it gives up', async () => {
    const fd = openSync('/dev/full', 'w');
    const sink = sinkTo(fd, 1000);
    sink.write('one\ntwo\n');
    sink.write('three\n');
    await sink.idle(300);
    expect(sink.droppedLineCount).toBe(3);
    sink.write('four\n');
    expect(sink.droppedLineCount).toBe(4);
    closeSync(fd);
  });

  it('drops and counts, and goes on, when the reader is gone', async () => {
    const pipe = join(dir, 'pipe');
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
    const reader = openSync(pipe, 'r+');
    const fd = openSync(pipe, 'w');
    closeSync(reader);
    const sink = sinkTo(fd, 1000);
    sink.write('one\ntwo\n');
    await sink.idle(IDLE_TIMEOUT_MS);
    sink.write('three\n');
    expect(sink.droppedLineCount).toBe(3);
    closeSync(fd);
  });
});

const IDLE_TIMEOUT_MS = 5000;

function sinkTo(fd: number, bytesMax: number): LineSink {
  return new LineSink({ fd, bytesMax, timers: nodePlatform().timers });
}

function readSome(fd: number, into: Buffer, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, into, offset, into.length - offset, null, (error, count) =>
      error ? reject(error) : resolve(count),
    );
  });
}
