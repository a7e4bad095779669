/**
 * How much a computation did, without a clock: how often V8 ran each block of our code, summed. The same input gives
 * the same number, whatever else the machine does. What built-in functions do by themselves (a copy, a sort without a
 * function of ours) is not in it.
 *
 * It counts from when it is imported: functions that ran before are not in it.
 */
import { Session } from 'node:inspector';

const session = new Session();
session.connect();
post('Profiler.enable');
post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

/** Of code whose path contains `where`. */
export function countedWork(where: string, run: () => void): number {
  post('Profiler.takePreciseCoverage');
  run();
  const { result } = post<Coverage>('Profiler.takePreciseCoverage');
  let work = 0;
  for (const { url, functions } of result) {
    if (!url.includes(where)) continue;
    for (const { ranges } of functions) for (const { count } of ranges) work += count;
  }
  return work;
}

interface Coverage {
  readonly result: readonly {
    readonly url: string;
    readonly functions: readonly { readonly ranges: readonly { readonly count: number }[] }[];
  }[];
}

/** To this thread's own inspector, which answers before `post` returns. */
function post<Answer>(method: string, params: object = {}): Answer {
  let answer: Answer | undefined;
  let failure: Error | null = null;
  session.post(method, params, (error, result) => {
    failure = error;
    answer = result as Answer;
  });
  if (failure !== null) throw failure;
  return answer as Answer;
}
