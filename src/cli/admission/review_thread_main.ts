/** A thread that judges reviews, one at a time; it may be ended in the middle of one. */
import { parentPort, workerData } from 'node:worker_threads';
import { judgeOptions } from '../ask/judge_options.ts';
import { replyTo } from './reply.ts';
import type { FromReviewThread, ReviewSettings } from './review_threads.ts';

const { limits, hasNodeLabels } = workerData as ReviewSettings;
const options = { ...judgeOptions(limits), hasNodeLabels };

function send(message: FromReviewThread): void {
  parentPort?.postMessage(message);
}

parentPort?.on('message', (body: string) => send({ kind: 'reply', reply: replyTo(body, options) }));
send({ kind: 'ready' });
