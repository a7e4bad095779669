/**
 * Policy fixtures with real connections: pods, the kernel's programs and the proxy agree with the engine, on IPv4 and
 * IPv6, for TCP and UDP. Every second fixture is of one file of tests, so that two run at once.
 */

import type { Socket as UdpSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import type { Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  ONE_DATAGRAM,
  ONE_LOOK,
  type Outcome,
  ping,
  reaches,
  seeingOrigin,
} from './exchange.ts';
import type { Netns } from './netns.ts';
import { RedirectRig } from './rig.ts';
import { type Party, readScene, type Scene, type SceneConnection } from './scene.ts';

const FIXTURES = join(import.meta.dirname, '../../../fixtures/policy');
const SET_UP_TIMEOUT_MS = 300_000;

const scenes = readdirSync(FIXTURES)
  .filter((name) => name.startsWith('cnp_'))
  .map((name) => [name, readScene(join(FIXTURES, name))] as const)
  .filter((entry): entry is readonly [string, Scene] => (entry[1]?.connections.length ?? 0) > 0);

export function provesFixtures(which: 'even' | 'odd'): void {
  const rest = which === 'even' ? 0 : 1;
  const own = scenes.filter((_, index) => index % 2 === rest);
  describe.each(own)('%s', (_name, scene) => describeScene(scene));
}

function describeScene(scene: Scene): void {
  let rig: RedirectRig;
  const servers: (Server | UdpSocket)[] = [];

  beforeAll(async () => {
    rig = new RedirectRig(scene);
    await serve();
    await rig.follow();
    await rig.proxy();
  }, SET_UP_TIMEOUT_MS);

  afterAll(async () => {
    for (const server of servers) server.close();
    await rig?.dispose();
  }, SET_UP_TIMEOUT_MS);

  it.each(scene.connections.map((connection) => [connection.name, connection] as const))(
    '%s',
    async (_case, connection) => {
      expect(await outcomeOf(connection)).toEqual(wantedOf(connection));
    },
  );

  /** A server wherever a connection of the scene goes. */
  async function serve(): Promise<void> {
    const served = new Set<string>();
    for (const { destination, port, protocol } of scene.connections) {
      const key = `${protocol} ${destination.ip} ${port}`;
      if (served.has(key) || destination.kind === 'node') continue;
      served.add(key);
      const local = { ip: destination.ip, port };
      if (protocol === 'UDP') {
        const socket = await netnsOf(destination).udp(local);
        socket.on('message', (bytes, from) => socket.send(bytes, from.port, from.address));
        servers.push(socket);
      } else {
        const server = seeingOrigin(destination.name);
        await netnsOf(destination).listen(server, local);
        servers.push(server);
      }
    }
  }

  function netnsOf(party: Party): Netns {
    if (party.kind === 'node') return rig.node;
    return party.kind === 'pod' ? rig.pod(party.name).netns : rig.outside;
  }

  async function outcomeOf(connection: SceneConnection): Promise<unknown> {
    const { source, destination, port, protocol, http } = connection;
    const at = { from: netnsOf(source), fromIp: source.ip, to: destination.ip, port };
    const isRefused = connection.expected.kind === 'refused';
    if (protocol === 'UDP') {
      return (await ping({ ...at, ...(isRefused ? ONE_DATAGRAM : {}) })) === 'open';
    }
    const place = { ...at, ...(isRefused ? ONE_LOOK : {}) };
    if (http === null) return (await reaches(place)) === 'open';
    const { method, path, authority, fields } = http;
    const headers = pairsOf(fields);
    const request = { ...place, method, path, headers };
    const outcome = await ask(authority === '' ? request : { ...request, authority });
    return summaryOf(outcome, connection);
  }
}

/** What is compared: how it ended, who asked as the origin saw it, and the fields that rules set. */
function summaryOf(outcome: Outcome, { expected }: SceneConnection): unknown {
  if (outcome.kind !== 'answered') return 'refused';
  const { seen, status } = outcome;
  if (seen === null) return status;
  const names = expected.kind === 'allowed' ? expected.headers.map(([name]) => name) : [];
  return {
    pod: seen.pod,
    remote: seen.remote.split(' ')[0],
    local: seen.local,
    headers: Object.fromEntries(names.map((name) => [name, seen.headers[name.toLowerCase()]])),
  };
}

function wantedOf({ expected, http, source, destination, port }: SceneConnection): unknown {
  if (http === null) return expected.kind !== 'refused';
  if (expected.kind === 'refused') return 'refused';
  if (expected.kind === 'denied') return 403;
  return {
    pod: destination.name,
    remote: source.ip,
    local: `${destination.ip} ${port}`,
    headers: Object.fromEntries(expected.headers),
  };
}

function pairsOf(fields: readonly string[]): readonly (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    pairs.push([fields[i] as string, fields[i + 1] as string]);
  }
  return pairs;
}
