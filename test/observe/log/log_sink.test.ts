/** Where lines go, apart from the records that they tell of. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { LogSink } from '../../../src/observe/log/sink.ts';
import { nodePlatform } from '../../../src/platform/node_platform.ts';

let root = '';
let path = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sallyport-sink-'));
  path = join(root, 'fifo');
  execFileSync('mkfifo', [path]);
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('a log that is a pipe', () => {
  it('which nobody reads yet is opened, and its reader finds the lines', async () => {
    const sink = sinkTo(path);
    sink.write(Buffer.from('one\n'));
    await expect.poll(() => sink.counts().writtenLines).toBe(1);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const buffer = Buffer.alloc(100);
    expect(buffer.subarray(0, readSync(reader, buffer)).toString()).toBe('one\n');
    closeSync(reader);
    await sink.close();
  });

  it('which somebody reads gets whole lines', async () => {
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const sink = sinkTo(path);
    sink.write(Buffer.from('one\n'));
    sink.write(Buffer.from('two\n'));
    await sink.close();
    const buffer = Buffer.alloc(100);
    expect(buffer.subarray(0, readSync(reader, buffer)).toString()).toBe('one\ntwo\n');
    closeSync(reader);
  });
});

function sinkTo(file: string): LogSink {
  const { timers } = nodePlatform();
  return new LogSink({ target: { kind: 'file', path: file }, limits: DEFAULT_LIMITS, timers });
}
