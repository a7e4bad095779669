/** The body of a request → what goes back over HTTP. Pure, and run in a thread of its own. */
import type { DocumentLimits } from '../../text/document_bounds.ts';
import { answerOf } from './answer.ts';
import { judgeReview, type ReviewOptions } from './judge_review.ts';
import { readReview } from './review.ts';

/** Plain values: they cross threads. */
export interface ReviewReply {
  readonly status: number;
  readonly body: string;
  /** For the log and the metrics. */
  readonly outcome: ReviewOutcome;
}

/** `refused`: the object; `malformed`: what was sent is no review. The rest: nobody judged it. */
export type ReviewOutcome =
  | 'allowed'
  | 'refused'
  | 'malformed'
  | 'too-large'
  | 'overloaded'
  | 'too-slow'
  | 'failed';

export function replyTo(
  body: string,
  options: ReviewOptions & { limits: DocumentLimits },
): ReviewReply {
  const read = readReview(body, options.limits);
  if (read.kind === 'error') return failure(400, 'malformed', read.message);
  const answer = answerOf(read.review.uid, judgeReview(read.review, options));
  const outcome = answer.response.allowed ? 'allowed' : 'refused';
  return { status: 200, body: JSON.stringify(answer), outcome };
}

/** Nobody has judged it, now. Of 503 and 504 an API server does not pass on what they say, so a user would not see it. */
export const UNJUDGED = 500;

/** No answer about the object: the API server does what its failurePolicy says. */
export function failure(status: number, outcome: ReviewOutcome, message: string): ReviewReply {
  return { status, body: `${message}\n`, outcome };
}
