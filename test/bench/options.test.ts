/** The command line of the harness. */
import { describe, expect, it } from 'vitest';
import { parseOptions } from '../../bench/options.ts';
import { SUITE_NAMES } from '../../bench/report/report.ts';

const SUBJECTS = ['haproxy', 'haproxy, no log', 'sallyport'];
const parse = (...args: string[]) => parseOptions(args, SUBJECTS);

describe('options', () => {
  it('without any: all suites, all subjects', () => {
    expect(parse()).toEqual({
      kind: 'run',
      options: {
        suites: SUITE_NAMES,
        settings: { rounds: 5, seconds: 2, isQuick: false },
        only: null,
        out: null,
      },
    });
  });

  it('chosen', () => {
    const args = ['h2', 'http1', '--quick', '--rounds', '3', '--only', 'haproxy,sallyport'];
    expect(parse(...args, '--out', 'here')).toEqual({
      kind: 'run',
      options: {
        suites: ['http1', 'h2'],
        settings: { rounds: 3, seconds: 1, isQuick: true },
        only: ['haproxy', 'sallyport'],
        out: 'here',
      },
    });
  });

  it('a subject may have a comma in its name', () => {
    expect(parse('--only', 'haproxy, no log', '--only', 'sallyport')).toMatchObject({
      options: { only: ['haproxy, no log', 'sallyport'] },
    });
  });

  it('help', () => {
    expect(parse('http1', '--help')).toEqual({ kind: 'help' });
  });

  it.each([
    [['http3'], 'http3: no such suite'],
    [['--rounds', '0'], '--rounds: 0 is not a whole number'],
    [['--seconds', '1.5'], '--seconds: 1.5 is not'],
    [['--rounds', '1000'], 'from 1 to 100'],
    [['--only', 'varnish'], 'varnish: no such subject'],
    [['--out', ''], '--out: no directory'],
    [['--fast'], '--fast'],
  ])('%j is refused', (args, message) => {
    expect(parse(...args)).toEqual({ kind: 'error', message: expect.stringContaining(message) });
  });
});
