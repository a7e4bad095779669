/**
 * `sallyport verdict`: one question a line in, one answer a line out, in order, so that one process
 * can judge thousands of cases. A line that cannot be understood is answered with its error, and the
 * exit code is 2 at the end.
 */

import type { Judge } from '../../control/ask/judge.ts';
import { type NamedQuestion, withPodNames } from '../../control/ask/named_question.ts';
import { parseQuestion, type Question } from '../../control/ask/question.ts';
import { formatProblem } from '../../control/decode/problem.ts';
import { DEFAULT_LIMITS } from '../../model/limits.ts';
import { parseJson } from '../../text/json_value.ts';
import type { Args } from '../args.ts';
import { EXIT_OK, EXIT_USAGE, type ExitCode, type Io, usageError } from '../io.ts';
import { type AskedSet, readAskedSet, type SetContent } from './asked_set.ts';
import { HOLDS_WHERE_TRANSLATED } from './explain_text.ts';
import { readErrorText, readPolicies, STDIN } from './sources.ts';

export async function run(args: Args, io: Io): Promise<ExitCode> {
  if ([...args.values('policy'), ...args.arguments].includes(STDIN)) {
    return usageError(io, 'verdict: standard input has the questions, so policies cannot be there');
  }
  const set = await readAskedSet(args, io);
  if (set.kind === 'error') return usageError(io, `verdict: ${set.message}`);
  const session = new VerdictSession(set, io);
  const problem = session.start();
  if (problem !== null) return usageError(io, `verdict: the policy set is rejected: ${problem}`);
  let hasErrors = false;
  for await (const line of linesOf(io)) {
    if (line?.trim() === '') continue;
    const answer = line === null ? { error: LINE_TOO_LONG } : await session.answer(line);
    hasErrors ||= 'error' in answer;
    io.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  return hasErrors ? EXIT_USAGE : EXIT_OK;
}

class VerdictSession {
  readonly #io: Io;
  readonly #set: AskedSet;
  #judge: Judge | null = null;
  #isTold: boolean;

  constructor(set: AskedSet, io: Io) {
    this.#set = set;
    this.#io = io;
    this.#isTold = set.options.areServicesTranslated ?? false;
  }

  /** Null when the first set is accepted, else its first problem. */
  start(): string | null {
    return this.#swap(this.#set.content);
  }

  async answer(line: string): Promise<object> {
    const json = parseJson(line, DEFAULT_LIMITS);
    if (json.kind === 'error') return { error: `the line is not JSON: ${json.message}` };
    const { value } = json;
    if (typeof value === 'object' && value !== null && 'policyFile' in value) {
      return this.#update(value);
    }
    const parsed = parseQuestion(value);
    if (parsed.kind === 'error') return { error: parsed.message };
    if (this.#judge === null) return { error: 'no policy set is in force' };
    const question = this.#named(parsed.question);
    if (question.kind === 'error') return { error: question.message };
    const answer = this.#judge.answer(question.question);
    if (answer.kind === 'error') return { error: answer.message };
    if (answer.line.service !== undefined) this.#tellOfServices();
    return answer.line;
  }

  /** Once: what is judged by the backends may be judged by the address itself on a node. */
  #tellOfServices(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#io.stderr.write(`verdict: what is answered with "service" ${HOLDS_WHERE_TRANSLATED}\n`);
  }

  #named(question: Question): NamedQuestion {
    const { cluster } = this.#set;
    if (cluster === null) return { kind: 'question', question, notes: [] };
    return withPodNames(question, cluster.names);
  }

  /** A rejected set answers why; the set in force stays in force. */
  async #update(value: object): Promise<object> {
    const { policyFile } = value as { policyFile: unknown };
    if (typeof policyFile !== 'string' || Object.keys(value).length !== 1) {
      return { error: 'policyFile must be a path, alone on its line' };
    }
    if (policyFile === STDIN) return { error: 'policyFile cannot be standard input' };
    try {
      const policies = await readPolicies([policyFile], this.#io);
      const reason = this.#swap(this.#set.withPolicies(policies));
      return reason === null ? { update: 'accepted' } : { update: 'rejected', reason };
    } catch (error) {
      return { update: 'rejected', reason: readErrorText(error) };
    }
  }

  #swap(content: SetContent): string | null {
    const created = content.kind === 'rejected' ? content : content.judge();
    if (created.kind === 'rejected') return created.problems.map(formatProblem).join('; ');
    this.#judge = created.judge;
    return null;
  }
}

const LINE_TOO_LONG = `the line has more than ${DEFAULT_LIMITS.adminBodyBytesMax} characters; no further line is read`;

/** Lines of stdin; null, and no more, for one that is longer than its bound. */
async function* linesOf(io: Io): AsyncGenerator<string | null> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of io.stdin) {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
    if (rest.length > DEFAULT_LIMITS.adminBodyBytesMax) {
      yield null;
      return;
    }
  }
  if (rest !== '') yield rest;
}
