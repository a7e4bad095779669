/**
 * The access log as a duty that is held: emptied before a round, so that nobody's round pays for what the disk still has
 * to write of another's, and counted after it, so that nobody is fast by losing lines.
 */
import { createReadStream } from 'node:fs';
import { stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { Subject } from '../subjects/subject.ts';

const LOG_NAME = 'access.log';
const LINE_FEED = 10;
/** Envoy and nginx hold back up to 64 KiB for a while. */
const HELD_LINE_COUNT_MAX = 700;
const LOST_SHARE_MAX = 0.01;

/** All of them append, so that they go on at its beginning. */
export async function emptyLog(subject: Subject): Promise<void> {
  if (await hasLog(subject)) await truncate(join(subject.directory, LOG_NAME), 0);
}

/** What is amiss with the log of a round of so many requests; null when it is whole, or when there is none. */
export async function lostLines(subject: Subject, requestCount: number): Promise<string | null> {
  if (!(await hasLog(subject))) return null;
  const lost = requestCount - (await lineCount(join(subject.directory, LOG_NAME)));
  if (lost <= Math.max(HELD_LINE_COUNT_MAX, LOST_SHARE_MAX * requestCount)) return null;
  const share = ((100 * lost) / requestCount).toFixed(0);
  return `${subject.name}: ${share} % of a round's requests are not in its access log`;
}

async function hasLog({ directory, isOrigin }: Subject): Promise<boolean> {
  if (isOrigin === true) return false;
  const found = await stat(join(directory, LOG_NAME)).catch(() => null);
  return found?.isFile() ?? false;
}

async function lineCount(path: string): Promise<number> {
  let count = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    const bytes = chunk as Buffer;
    for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) count++;
  }
  return count;
}
