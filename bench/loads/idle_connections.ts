/** Connections that are kept and say nothing, each after one request. */
import { fileURLToPath } from 'node:url';
import { OwnedProcess } from '../subjects/process.ts';
import type { IdleOrder, IdleResult } from './idle_client.ts';

const CLIENT = fileURLToPath(new URL('./idle_client.ts', import.meta.url));

export interface IdleConnections {
  /** Closes them all; rejects when the server had closed some before. */
  readonly close: () => Promise<void>;
}

/** Resolves when all are open, answered and idle. */
export async function openIdleConnections(
  url: string,
  path: string,
  connections: number,
): Promise<IdleConnections> {
  const { hostname, port } = new URL(url);
  const order: IdleOrder = { host: hostname, port: Number(port), path, connections };
  const command = [process.execPath, CLIENT, JSON.stringify(order)];
  const client = new OwnedProcess({ command, place: 'other' });
  try {
    await client.untilLine(/^holding$/);
  } catch (error) {
    await client.stop();
    throw error;
  }
  return {
    close: async () => {
      await client.stop();
      const output = await client.output();
      const { opened, lost } = JSON.parse(output.slice(output.indexOf('\n') + 1)) as IdleResult;
      if (lost > 0) throw new Error(`${lost} of ${opened} idle connections were closed meanwhile`);
    },
  };
}
