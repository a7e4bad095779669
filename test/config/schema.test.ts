/** The published schema is the decoder's own declaration, and both accept the same files. */
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { decodeConfig } from '../../src/config/load.ts';
import { configSchemaText } from '../../src/config/print_schema.ts';
import { LIMITS } from '../../src/model/limits.ts';
import { ACCEPTED, REJECTED } from './samples.ts';

const SCHEMA_PATH = new URL('../../config.schema.json', import.meta.url);

const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(
  JSON.parse(configSchemaText()),
);

describe('config.schema.json', () => {
  it('is what `node src/config/print_schema.ts` prints', () => {
    expect(readFileSync(SCHEMA_PATH, 'utf8')).toBe(configSchemaText());
  });

  it('has a description and a range for every limit', () => {
    const { properties } = JSON.parse(configSchemaText()).properties.limits;
    expect(Object.keys(properties)).toEqual(Object.keys(LIMITS));
    for (const schema of Object.values<Record<string, unknown>>(properties)) {
      expect(schema).toMatchObject({
        description: expect.any(String),
        default: expect.any(Number),
      });
      expect(JSON.stringify(schema)).toMatch(/"minimum":\d+,"maximum":\d+/);
    }
  });

  it.each(Object.entries(ACCEPTED))('accepts what the decoder accepts: %s', (_name, sample) => {
    expect({ schema: validate(sample), errors: validate.errors }).toEqual({
      schema: true,
      errors: null,
    });
  });

  it.each(Object.entries(REJECTED))('rejects what the decoder rejects: %s', (_name, sample) => {
    expect(validate(sample)).toBe(false);
  });
});

describe('decoder', () => {
  it.each(Object.entries(ACCEPTED))('accepts %s', (_name, sample) => {
    const result = decode(sample);
    expect(result.kind === 'rejected' ? result.problems : []).toEqual([]);
  });

  it.each(Object.entries(REJECTED))('rejects %s', (_name, sample) => {
    expect(decode(sample).kind).toBe('rejected');
  });
});

function decode(sample: unknown): ReturnType<typeof decodeConfig> {
  const options = {
    path: '/etc/sallyport/config.yaml',
    shownPath: 'config.yaml',
    cwd: '/',
    env: {},
  };
  return decodeConfig(JSON.stringify(sample), { ...options, flags: [] });
}
