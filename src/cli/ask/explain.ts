/** `sallyport explain`: the verdict on one request and, rule by rule, why. */

import { explainDocument } from '../../control/ask/explain_document.ts';
import {
  createJudge,
  type ExplainedAnswer,
  type Judge,
  type JudgeResult,
} from '../../control/ask/judge.ts';
import { parseQuestion } from '../../control/ask/question.ts';
import { formatProblem } from '../../control/decode/problem.ts';
import type { SourceBundle, SourceText } from '../../control/set/policy_set.ts';
import { shownLine } from '../../model/shown_text.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { paint, yamlText } from '../terminal.ts';
import { addEndpoint, adHocEndpoint } from './ad_hoc_endpoint.ts';
import { explanationLines } from './explain_text.ts';
import { judgeOptions } from './judge_options.ts';
import { questionValue } from './question_flags.ts';
import { readSources } from './sources.ts';

type Explained = Extract<ExplainedAnswer, { kind: 'answer' }>;

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const sources = await readSources(args, io);
  if (sources.kind === 'error') return usageError(io, `explain: ${sources.message}`);
  const asked = questionValue(args);
  if (asked.kind === 'error') return usageError(io, `explain: ${asked.message}`);
  const created = judgeFor(args, sources.bundle);
  if (created.kind === 'rejected') {
    return usageError(
      io,
      `explain: the policy set is rejected: ${created.problems.map(formatProblem).join('; ')}`,
    );
  }
  completeQuestion(asked.value, args, created.judge);
  const parsed = parseQuestion(asked.value);
  if (parsed.kind === 'error') return usageError(io, `explain: ${hinted(parsed.message)}`);
  const answer = created.judge.explain(parsed.question);
  if (answer.kind === 'error') return usageError(io, `explain: ${answer.message}`);
  print(args, io, answer);
  return answer.line.verdict === 'allow' ? EXIT_OK : EXIT_NEGATIVE;
}

/** The set as it is written is judged first: with an endpoint added, lines are other lines. */
function judgeFor(args: Args, bundle: SourceBundle): JudgeResult {
  const options = { ...judgeOptions(), isHostJudged: args.has('judge-host') };
  const created = createJudge(bundle, options);
  if (created.kind === 'rejected' || !args.has('endpoint-label')) return created;
  return createJudge(withEndpoint(args, bundle), options);
}

/** `--endpoint-label` puts an endpoint with these labels beside those of the file. */
function withEndpoint(args: Args, bundle: SourceBundle): SourceBundle {
  const labels = args.values('endpoint-label');
  if (labels.length === 0) return bundle;
  const endpoints: SourceText = addEndpoint(bundle.endpoints, adHocEndpoint(labels));
  return { ...bundle, endpoints };
}

/** What the user need not say: the endpoint when there is only one, the remote when nobody is named. */
function completeQuestion(value: Record<string, unknown>, args: Args, judge: Judge): void {
  if (!('endpoint' in value) && !('endpointIp' in value)) {
    if (args.has('endpoint-label'))
      value['endpoint'] = adHocEndpoint(args.values('endpoint-label')).name;
    else {
      const sole = judge.soleEndpoint();
      if (sole !== null) value['endpoint'] = sole;
    }
  }
}

function hinted(message: string): string {
  if (message.includes('name the endpoint')) {
    return `${message}; --endpoint, --endpoint-ip or --endpoint-label does`;
  }
  if (message.includes('name the other side')) {
    return `${message}; --remote, --remote-ip, --identity or --label does`;
  }
  return message;
}

function print(args: Args, io: Io, answer: Explained): void {
  const format = args.value('output') ?? 'table';
  if (format === 'table') {
    io.stdout.write(
      `${explanationLines(answer, { isAll: args.has('all') })
        .map((line) => painted(io, line))
        .join('\n')}\n`,
    );
    return;
  }
  const value = explainDocument(answer);
  io.stdout.write(format === 'json' ? `${JSON.stringify(value, null, 2)}\n` : yamlText(value));
}

function painted(io: Io, line: string): string {
  const text = shownLine(line);
  if (text.startsWith('ALLOWED')) return paint(io, 'green', text);
  return text.startsWith('DENIED') ? paint(io, 'red', text) : text;
}
