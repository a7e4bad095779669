/** `sallyport explain`: the verdict on one request and, rule by rule, why. */

import { explainDocument } from '../../control/ask/explain_document.ts';
import {
  createJudge,
  type ExplainedAnswer,
  type Judge,
  type JudgeResult,
} from '../../control/ask/judge.ts';
import { type NamedQuestion, withPodNames } from '../../control/ask/named_question.ts';
import { parseQuestion, type Question } from '../../control/ask/question.ts';
import { formatProblem, type Problem } from '../../control/decode/problem.ts';
import { shownLine } from '../../model/shown_text.ts';
import { k8sLabel, LABEL_SOURCE_K8S, NAMESPACE_KEY, parseLabel } from '../../policy/labels.ts';
import type { Args } from '../args.ts';
import { EXIT_NEGATIVE, EXIT_OK, type ExitCode, type Io, usageError } from '../io.ts';
import { paint, yamlText } from '../terminal.ts';
import { adHocName, withAdHocEndpoint } from './ad_hoc_endpoint.ts';
import { type AskedCluster, type AskedSet, readAskedSet } from './asked_set.ts';
import { explanationLines } from './explain_text.ts';
import { questionValue } from './question_flags.ts';

type Explained = Extract<ExplainedAnswer, { kind: 'answer' }>;

export async function run(args: Args, io: Io): Promise<ExitCode> {
  const asked = questionValue(args);
  if (asked.kind === 'error') return usageError(io, `explain: ${asked.message}`);
  const set = await readAskedSet(args, io);
  if (set.kind === 'error') return usageError(io, `explain: ${set.message}`);
  const created = judgeFor(args, set);
  if (created.kind === 'error') return usageError(io, `explain: ${created.message}`);
  const { judge } = created;
  completeQuestion(asked.value, { args, judge, cluster: set.cluster });
  const parsed = parseQuestion(asked.value);
  if (parsed.kind === 'error') return usageError(io, `explain: ${hinted(parsed.message)}`);
  const named = namedQuestion(parsed.question, set.cluster, args);
  if (named.kind === 'error') return usageError(io, `explain: ${named.message}`);
  for (const note of named.notes) io.stderr.write(`${shownLine(note)}\n`);
  const answer = judge.explain(named.question);
  if (answer.kind === 'error') return usageError(io, `explain: ${answer.message}`);
  print(args, io, answer);
  return answer.line.verdict === 'allow' ? EXIT_OK : EXIT_NEGATIVE;
}

function namedQuestion(
  question: Question,
  cluster: AskedCluster | null,
  args: Args,
): NamedQuestion {
  if (cluster === null) return { kind: 'question', question, notes: [] };
  // An endpoint of labels is none of the cluster.
  const isSubjectKept = args.has('endpoint-label');
  return withPodNames(question, cluster.names, { isSubjectKept });
}

type JudgeFor =
  | { readonly kind: 'judge'; readonly judge: Judge }
  | { readonly kind: 'error'; readonly message: string };

/** `--endpoint-label` puts an endpoint with these labels beside those that there are. */
function judgeFor(args: Args, { content, options, cluster }: AskedSet): JudgeFor {
  if (content.kind === 'rejected') return rejectedSet(content.problems);
  const labels = withNamespace(args.values('endpoint-label'), cluster);
  if (labels.length === 0) return judgeOr(content.judge());
  const { input } = content;
  const added = withAdHocEndpoint(input.inventory, labels);
  if (added.kind === 'error')
    return { kind: 'error', message: `--endpoint-label: ${added.message}` };
  return judgeOr(createJudge({ ...input, inventory: added.inventory }, options));
}

function judgeOr(created: JudgeResult): JudgeFor {
  return created.kind === 'judge' ? created : rejectedSet(created.problems);
}

function rejectedSet(problems: readonly Problem[]): JudgeFor {
  const texts = problems.map(formatProblem).join('; ');
  return { kind: 'error', message: `the policy set is rejected: ${texts}` };
}

/** Labels without a namespace are of the one that names without a namespace are of. */
function withNamespace(labels: readonly string[], cluster: AskedCluster | null): readonly string[] {
  if (cluster === null || labels.length === 0 || !labels.every(isOfPod)) return labels;
  const isNamed = labels.some((text) => parseLabel(text)?.key === NAMESPACE_KEY);
  return isNamed ? labels : [...labels, k8sLabel(NAMESPACE_KEY, cluster.namespace)];
}

function isOfPod(text: string): boolean {
  return parseLabel(text)?.source === LABEL_SOURCE_K8S;
}

interface Completing {
  readonly args: Args;
  readonly judge: Judge;
  readonly cluster: AskedCluster | null;
}

/** What the user need not say: the endpoint when there is only one, the remote when nobody is named. */
function completeQuestion(
  value: Record<string, unknown>,
  { args, judge, cluster }: Completing,
): void {
  if (args.has('label')) value['labels'] = withNamespace(args.values('label'), cluster);
  if (!('endpoint' in value) && !('endpointIp' in value)) {
    if (args.has('endpoint-label')) {
      value['endpoint'] = adHocName(withNamespace(args.values('endpoint-label'), cluster));
    } else {
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
    return `${message}; --remote, --remote-ip, --identity or --label does; or, of what it dials, --to or --service`;
  }
  return message;
}

function print(args: Args, io: Io, answer: Explained): void {
  const format = args.value('output') ?? 'table';
  if (format === 'table') {
    const isPortAssumed = !PORT_FLAGS.some((flag) => args.has(flag));
    io.stdout.write(
      `${explanationLines(answer, { isAll: args.has('all'), isPortAssumed })
        .map((line) => painted(io, line))
        .join('\n')}\n`,
    );
    return;
  }
  const value = explainDocument(answer);
  io.stdout.write(format === 'json' ? `${JSON.stringify(value, null, 2)}\n` : yamlText(value));
}

/** Either says which port is meant. */
const PORT_FLAGS = ['port', 'url', 'to', 'service'];

function painted(io: Io, line: string): string {
  const text = shownLine(line);
  if (text.startsWith('ALLOWED')) return paint(io, 'green', text);
  return text.startsWith('DENIED') ? paint(io, 'red', text) : text;
}
