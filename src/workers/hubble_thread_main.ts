/** The entry of the thread that serves clients of Hubble: wires its port to a `HubbleService`. */
import { parentPort, workerData } from 'node:worker_threads';
import { HubbleService } from '../hubble/serve/hubble_service.ts';
import { nodePlatform } from '../platform/node_platform.ts';
import type { FromHubbleThread, HubbleThreadData, ToHubbleThread } from './hubble_messages.ts';
import { startSinks } from './hubble_sinks.ts';

if (parentPort === null) throw new Error('this is the entry of a thread');
const port = parentPort;
const { settings, output, limits, version } = workerData as HubbleThreadData;
const started = await startSinks(output, limits, {
  onProblem: (problem) => post({ kind: 'problem', problem }),
  onError: (error) => post({ kind: 'error', message: textOf(error) }),
  onExported: (counts) => post({ kind: 'exported', counts }),
});

const service = new HubbleService({
  ...{ settings, limits, version },
  sinks: started.sinks,
  clock: nodePlatform().clock,
  onError: (error) => post({ kind: 'error', message: textOf(error) }),
  onProblem: (problem) => post({ kind: 'problem', problem }),
});

port.on('message', (message: ToHubbleThread) => {
  switch (message.kind) {
    case 'flows':
      post({ kind: 'taken', byteLength: message.bytes.length });
      service.push(message.bytes);
      break;
    case 'lost':
      service.lose(message.count);
      break;
    case 'stop':
      void service.stop().finally(() => port.close());
      break;
  }
});

post({ kind: 'listening', addresses: [...(await service.start()), ...started.addresses] });

function post(message: FromHubbleThread): void {
  port.postMessage(message);
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
