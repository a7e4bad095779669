import { afterEach, expect, it, vi } from 'vitest';
import { processFamilies } from '../../../src/observe/metrics/process_stats.ts';

afterEach(() => vi.restoreAllMocks());

it('memory, time, descriptors and start are told', async () => {
  const names = (await processFamilies('0')).map(({ name }) => name);
  expect(names).toContain('process_resident_memory_bytes');
  expect(names).toContain('process_cpu_seconds_total');
});

it('out of file descriptors the memory is left out, the others are told', async () => {
  vi.spyOn(process.memoryUsage, 'rss').mockImplementation(() => {
    throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' });
  });
  const names = (await processFamilies('0')).map(({ name }) => name);
  expect(names).not.toContain('process_resident_memory_bytes');
  expect(names).toContain('process_cpu_seconds_total');
});
