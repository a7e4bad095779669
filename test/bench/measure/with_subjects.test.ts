/** Who takes part in a comparison, and that one that breaks costs nobody else their figures. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { withSubjects } from '../../../bench/measure/with_subjects.ts';
import type { Subject, SubjectKind } from '../../../bench/subjects/subject.ts';
import type { SuiteContext } from '../../../bench/suites/suite.ts';

let directory = '';
let stopped: string[] = [];
let told: string[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sallyport-test-'));
  stopped = [];
  told = [];
});
afterEach(() => rm(directory, { recursive: true, force: true }));

it('one that is missing, does not start, or enforces another policy is told; the others take part', async () => {
  const kinds = [
    { ...kind('absent', 403), find: async () => ({ name: 'absent', why: 'not here' }) },
    kind('broken', 'refuses its configuration'),
    kind('open', 200),
    kind('right', 403),
  ];
  const names = await withSubjects(context(kinds), order, async (subjects) =>
    subjects.map(({ name }) => name),
  );
  expect(names).toEqual(['right']);
  expect(told).toEqual([
    'missing: absent',
    'failed: broken: refuses its configuration',
    'failed: open: open enforces another policy: GET /orders/4242/x gave 200, not 403',
    'takes part: right',
  ]);
  expect(stopped.toSorted()).toEqual(['open', 'origin', 'right']);
  expect(await readdir(directory)).toEqual([]);
});

it('all are stopped when what is done with them fails', async () => {
  const action = withSubjects(context([kind('right', 403)]), order, async () => {
    throw new Error('no load');
  });
  await expect(action).rejects.toThrow('no load');
  expect(stopped.toSorted()).toEqual(['origin', 'right']);
});

const order = { version: 'h1', startOrigin: () => start('origin', 200) } as const;

/** Answers what is not to be allowed with `status`; a text: how it fails to start. */
function kind(name: string, status: number | string): SubjectKind {
  return {
    name,
    speaks: ['h1'],
    find: async () => ({
      version: '1',
      start: async () => {
        if (typeof status === 'string') throw new Error(status);
        return start(name, status);
      },
    }),
  };
}

async function start(name: string, status: number): Promise<Subject> {
  const server = createServer((request, response) => {
    const isAllowed = request.method === 'GET' && /^\/(orders\/\d+|health)$/.test(`${request.url}`);
    response.writeHead(isAllowed ? 200 : status).end();
  });
  const port = await listen(server);
  return {
    name,
    url: `http://127.0.0.1:${port}`,
    directory,
    facts: { name, version: '1', commands: [], files: [] },
    pids: () => [],
    stop: async () => {
      stopped.push(name);
      server.closeAllConnections();
      server.close();
    },
  };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

function context(kinds: readonly SubjectKind[]): SuiteContext {
  return {
    kinds,
    settings: { rounds: 1, seconds: 1, isQuick: true },
    directory,
    progress: () => {},
    tellSubject: ({ name }) => told.push(`takes part: ${name}`),
    tellMissing: ({ name }) => told.push(`missing: ${name}`),
    tellFailed: (name, error) => told.push(`failed: ${name}: ${(error as Error).message}`),
    tellScenario: () => {},
  };
}
