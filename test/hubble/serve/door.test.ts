/** The socket file that clients of Hubble connect to: what is there when it could not be opened. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { openDoor } from '../../../src/hubble/serve/door.ts';
import { until } from '../../support/until.ts';

const folder = mkdtempSync(join(tmpdir(), 'door-'));
const path = join(folder, 'hubble.sock');
const injector = new Server().createConnectionInjector(ServerCredentials.createInsecure());

afterAll(() => rmSync(folder, { recursive: true }));

afterEach(() => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
});

function open(group: number | null, at: string = path) {
  const place = { kind: 'unix', path: at, group } as const;
  return openDoor({ place, injector: () => injector, connectionCountMax: 1 });
}

function listeningCount(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'PipeServerWrap').length;
}

describe('a socket file', () => {
  it('is all that is left in its folder, with its permissions', async () => {
    const opened = await open(0);
    if (opened.kind === 'failed') throw new Error(opened.message);
    expect(readdirSync(folder)).toEqual(['hubble.sock']);
    expect(statSync(path).mode & 0o777).toBe(0o660);
    opened.door.close();
    await until(() => readdirSync(folder).length === 0);
  });

  it('that cannot get its permissions is not left open without them', async () => {
    const before = listeningCount();
    const noGroup = -2;
    for (let i = 0; i < 3; i++) expect((await open(noGroup)).kind).toBe('failed');
    expect(readdirSync(folder)).toEqual([]);
    await until(() => listeningCount() === before);
  });

  it('in a folder that is not there is told as that', async () => {
    expect(await open(null, join(folder, 'none', 'hubble.sock'))).toMatchObject({
      message: expect.stringContaining('there is no such folder'),
    });
  });
});
