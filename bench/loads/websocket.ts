/** WebSocket messages through a proxy to the echo origin and back; a "request" is a message. */
import { join } from 'node:path';
import { ROOT } from '../measure/machine.ts';
import { OwnedProcess } from '../subjects/process.ts';
import type { LoadRun } from './load.ts';

export interface WebSocketOptions {
  readonly connections: number;
  readonly messageBytes: number;
}

export function webSocketLoad({ connections, messageBytes }: WebSocketOptions): LoadRun {
  const sizes = [String(connections), String(messageBytes)];
  return {
    description: `node bench/loads/websocket_main.ts URL SECONDS ${sizes.join(' ')}`,
    run: async (url, seconds) => {
      const program = join(ROOT, 'bench/loads/websocket_main.ts');
      const command = [process.execPath, program, url, String(seconds), ...sizes];
      return JSON.parse(await new OwnedProcess({ place: 'other', command }).output());
    },
  };
}
