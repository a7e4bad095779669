/** `sallyport explain`: the verdict on one request and, rule by rule, why. */

import { explainDocument } from '../../control/ask/explain_document.ts';
import { createJudge, type ExplainedAnswer, type Judge } from '../../control/ask/judge.ts';
import { parseQuestion } from '../../control/ask/question.ts';
import { formatProblem, type Problem } from '../../control/decode/problem.ts';
import { decodeBundle } from '../../control/source/files/decode_bundle.ts';
import { shownLine } from '../../model/shown_text.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { paint, yamlText } from '../terminal.ts';
import { adHocName, withAdHocEndpoint } from './ad_hoc_endpoint.ts';
import { explanationLines } from './explain_text.ts';
import { questionValue } from './question_flags.ts';
import { type QuestionSources, readQuestionSources } from './question_sources.ts';

type Explained = Extract<ExplainedAnswer, { kind: 'answer' }>;

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const sources = await readQuestionSources(args, io);
  if (sources.kind === 'error') return usageError(io, `explain: ${sources.message}`);
  const asked = questionValue(args);
  if (asked.kind === 'error') return usageError(io, `explain: ${asked.message}`);
  const created = judgeFor(args, sources);
  if (created.kind === 'error') return usageError(io, `explain: ${created.message}`);
  completeQuestion(asked.value, args, created.judge);
  const parsed = parseQuestion(asked.value);
  if (parsed.kind === 'error') return usageError(io, `explain: ${hinted(parsed.message)}`);
  const answer = created.judge.explain(parsed.question);
  if (answer.kind === 'error') return usageError(io, `explain: ${answer.message}`);
  print(args, io, answer);
  return answer.line.verdict === 'allow' ? EXIT_OK : EXIT_NEGATIVE;
}

type ReadSources = Extract<QuestionSources, { kind: 'ok' }>;

type JudgeFor =
  | { readonly kind: 'judge'; readonly judge: Judge }
  | { readonly kind: 'error'; readonly message: string };

/** `--endpoint-label` puts an endpoint with these labels beside those of the file. */
function judgeFor(args: Args, { bundle, options }: ReadSources): JudgeFor {
  const decoded = decodeBundle(bundle, options);
  if (decoded.kind === 'rejected') return rejectedSet(decoded.problems);
  const { input } = decoded;
  const labels = args.values('endpoint-label');
  const added = labels.length === 0 ? null : withAdHocEndpoint(input.inventory, labels);
  if (added?.kind === 'error') {
    return { kind: 'error', message: `--endpoint-label: ${added.message}` };
  }
  const inventory = added === null ? input.inventory : added.inventory;
  const created = createJudge({ ...input, inventory }, options);
  return created.kind === 'judge' ? created : rejectedSet(created.problems);
}

function rejectedSet(problems: readonly Problem[]): JudgeFor {
  const texts = problems.map(formatProblem).join('; ');
  return { kind: 'error', message: `the policy set is rejected: ${texts}` };
}

/** What the user need not say: the endpoint when there is only one, the remote when nobody is named. */
function completeQuestion(value: Record<string, unknown>, args: Args, judge: Judge): void {
  if (!('endpoint' in value) && !('endpointIp' in value)) {
    if (args.has('endpoint-label')) value['endpoint'] = adHocName(args.values('endpoint-label'));
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
