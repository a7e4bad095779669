/** What tells one content of files from another without reading them: names, sizes, times and inodes. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';

/** In few bytes. */
export function digestOf(look: string): string {
  return createHash('sha256').update(look).digest('hex');
}

const UNREADABLE = 'unreadable';

export function unreadableStamp(path: string): string {
  return `${path} ${UNREADABLE}`;
}

export function stampOf(path: string): string {
  const { size, mtimeNs, ctimeNs, ino, dev } = statSync(path, { bigint: true });
  return `${path} ${size} ${mtimeNs} ${ctimeNs} ${dev}:${ino}`;
}

/** Between two looks nothing was written in place: what differs is another file under the same name. */
export function areReplacedWhole(before: string, now: string): boolean {
  const stamps = new Set(before.split('\n'));
  const files = new Set([...stamps].map(fileOf));
  return now
    .split('\n')
    .every((one) => stamps.has(one) || (!one.endsWith(UNREADABLE) && !files.has(fileOf(one))));
}

/** Device and inode. */
function fileOf(stampText: string): string {
  return stampText.slice(stampText.lastIndexOf(' ') + 1);
}
