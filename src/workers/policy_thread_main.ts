/** The entry of the policy thread: wires its port to a `PolicyService`. */
import { parentPort, workerData } from 'node:worker_threads';
import { userAgent } from '../cli/version.ts';
import { processEnvironment } from '../config/environment.ts';
import type { PolicyThreadData, ToPolicyThread } from './policy_messages.ts';
import { PolicyService } from './policy_service.ts';

if (parentPort === null) throw new Error('this is the entry of a thread');
const port = parentPort;

const service = new PolicyService(workerData as PolicyThreadData, {
  port: { post: (message, transfer) => port.postMessage(message, [...transfer]) },
  environment: { ...processEnvironment(), userAgent: userAgent() },
});

port.on('message', (message: ToPolicyThread) => service.handle(message));
