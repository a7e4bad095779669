/** Hostile bytes on several connections, as fast as they are taken. Nothing is answered that anybody would count. */
import { fileURLToPath } from 'node:url';
import { OwnedProcess } from '../subjects/process.ts';
import type { AttackOrder, AttackResult } from './attack_client.ts';
import type { LoadRun } from './load.ts';

const CLIENT = fileURLToPath(new URL('./attack_client.ts', import.meta.url));

export interface Attack {
  /** In words, for the report. */
  readonly about: string;
  readonly connections: number;
  /** Once at the beginning of each connection. */
  readonly greeting: Buffer;
  /** Again and again after it; empty when a connection is its greeting. */
  readonly piece: Buffer;
  /** Where the piece has a stream identifier that must rise. */
  readonly streamIdsAt?: readonly number[];
}

export function attackLoad(attack: Attack): LoadRun {
  return {
    description: `${attack.about}, ${attack.connections} connections, opened again when they are closed`,
    run: async (url, seconds) => {
      const result = await runAttack(attack, url, seconds);
      return {
        requests: 0,
        failures: 0,
        seconds: result.seconds,
        contentBytes: result.bytes,
        figures: { connectionsPerSecond: result.connections / result.seconds },
      };
    },
  };
}

async function runAttack(attack: Attack, url: string, seconds: number): Promise<AttackResult> {
  const { hostname, port } = new URL(url);
  const order: AttackOrder = {
    host: hostname,
    port: Number(port),
    seconds,
    connections: attack.connections,
    greeting: attack.greeting.toString('base64'),
    piece: attack.piece.toString('base64'),
    streamIdsAt: attack.streamIdsAt ?? [],
  };
  const command = [process.execPath, CLIENT, JSON.stringify(order)];
  return JSON.parse(await new OwnedProcess({ place: 'other', command }).output());
}
