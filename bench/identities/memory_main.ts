/** The heap of a worker's snapshot, in a process of its own. Prints bytes of the heap, and of the process: node --expose-gc memory_main.ts FILE */
import { readFileSync } from 'node:fs';
import { deserialize } from 'node:v8';
import { compileSet } from '../../src/control/set/resolved_set.ts';
import { decodeResolved, type ResolvedParts } from '../../src/control/worker/resolved_wire.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { finish } from '../../src/model/steps.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';

const [file = ''] = process.argv.slice(2);
const regexEngine = createRe2Engine(DEFAULT_LIMITS, { areChecked: true });
const options = { revision: 1, regexEngine, limits: DEFAULT_LIMITS };
const compiled = finish(
  compileSet(finish(decodeResolved(deserialize(readFileSync(file)) as ResolvedParts)), options),
);
globalThis.gc?.();
globalThis.gc?.();
const { heapUsed, rss } = process.memoryUsage();
console.log(heapUsed, rss, compiled.kind);
