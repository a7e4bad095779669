/** The program's own log: one JSON object a line. */
import { describe, expect, it } from 'vitest';
import type { LogLevel } from '../../../src/model/log_level.ts';
import { createLogger } from '../../../src/observe/log/logger.ts';

describe('the program’s log', () => {
  it('has level, time, bindings, fields and message', () => {
    const { lines, logger } = logging('info', { worker: 2 });
    logger.info({ listeners: [{ name: 'api' }] }, 'ready');
    const { time, ...rest } = JSON.parse(lines[0] ?? '');
    expect(rest).toEqual({ level: 'info', worker: 2, listeners: [{ name: 'api' }], msg: 'ready' });
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it('tells errors with type, message and stack, on one line', () => {
    const { lines, logger } = logging('info');
    logger.error({ err: new TypeError('two\nlines') }, 'internal error');
    expect(lines.join('').match(/\n/g)).toHaveLength(1);
    const { err } = JSON.parse(lines[0] ?? '');
    expect(err).toMatchObject({ type: 'TypeError', message: 'two\nlines' });
    expect(err.stack).toContain('logger.test.ts');
  });

  it('writes what its level allows, and the level can be changed', () => {
    const { lines, logger } = logging('warn');
    logger.info({}, 'no');
    logger.warn({}, 'yes');
    logger.level = 'silent';
    logger.error({}, 'no');
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['yes']);
  });
});

function logging(level: LogLevel, bindings: Record<string, number> = {}) {
  const lines: string[] = [];
  return { lines, logger: createLogger({ level, bindings, write: (line) => lines.push(line) }) };
}
