import { describe, expect, it } from 'vitest';
import { readMemory } from '../../../bench/measure/memory.ts';
import { raiseOpenFiles } from '../../../bench/measure/open_files.ts';

describe('memory of processes', () => {
  it('is what the kernel says, shared pages divided where it may be read', () => {
    const { rssBytes, pssBytes } = readMemory([process.pid]);
    const own = process.memoryUsage.rss();
    expect(rssBytes).toBeGreaterThan(own / 2);
    expect(rssBytes).toBeLessThan(own * 2);
    expect(pssBytes).toBeGreaterThan(1024 * 1024);
    expect(pssBytes).toBeLessThanOrEqual(rssBytes * 1.1);
  });

  it('is a sum, without those that are gone', () => {
    const gone = 2 ** 22 + 1;
    const one = readMemory([process.pid, gone]).rssBytes;
    const two = readMemory([process.pid, process.pid]).rssBytes;
    expect(two).toBeGreaterThan(one * 1.8);
    expect(readMemory([gone])).toEqual({ rssBytes: 0, pssBytes: 0 });
  });
});

describe('the bound on open files', () => {
  it('is never lowered, and told as it is', () => {
    const before = raiseOpenFiles(0);
    expect(before).toBeGreaterThan(0);
    expect(raiseOpenFiles(before)).toBe(before);
    expect(raiseOpenFiles(before + 1)).toBeGreaterThanOrEqual(before);
  });
});
