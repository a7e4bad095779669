/** `GET /config` in the words of the file: what it prints is a file that means the same. */
import { describe, expect, it } from 'vitest';
import { decodeConfig } from '../../src/config/load.ts';
import { type FileValue, printValues } from '../../src/config/print_values.ts';
import { ACCEPTED } from './samples.ts';

describe('the configuration in effect', () => {
  it.each(Object.entries(ACCEPTED))('%s: loads again as the same', (_name, sample) => {
    const config = loaded(sample);
    const printed = printValues(config.values);
    const again = loaded(withoutNulls(printed));
    expect({ ...again, values: null }).toEqual({ ...config, values: null });
  });

  it('has the names and forms of the file, defaults included', () => {
    const { values } = loaded({
      admin: 'unix:/run/admin.sock',
      accessLog: { to: 'none' },
      listeners: [
        {
          name: 'api',
          address: '[::1]:80',
          direction: 'ingress',
          destination: '10.0.0.7:8080',
          upstream: 'original-destination',
          identity: ['endpoints'],
        },
      ],
    });
    expect(printValues(values)).toMatchObject({
      admin: 'unix:/run/admin.sock',
      adminAllowRemote: false,
      workers: null,
      accessLog: { to: 'none', headers: [], query: false, allowSampling: 1 },
      listeners: [
        {
          name: 'api',
          address: '[::1]:80',
          destination: '10.0.0.7:8080',
          upstream: 'original-destination',
          identity: ['endpoints'],
        },
      ],
    });
  });
});

function loaded(sample: unknown) {
  const result = decodeConfig(JSON.stringify(sample), {
    path: '/etc/sallyport/config.yaml',
    shownPath: 'config.yaml',
    flags: [],
    env: {},
    cwd: '/',
  });
  if (result.kind === 'rejected') throw new Error(result.problems.join('\n'));
  return result.config;
}

/** Null stands for what is not there, which a file says by leaving it out. */
function withoutNulls(value: FileValue): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, one]) => one !== null)
      .map(([name, one]) => [name, withoutNulls(one)]),
  );
}
