/** An explanation as JSON: `explain -o json` and the admin server's `/explain` say the same. */
import type { Identity } from '../../model/identity.ts';
import { type JsonDocument, jsonDocument } from '../../model/json_document.ts';
import type { Explanation } from '../../policy/explanation.ts';
import type { ExplainedAnswer } from './judge.ts';
import type { VerdictLine } from './verdict_line.ts';

type Explained = Extract<ExplainedAnswer, { kind: 'answer' }>;

export type ExplainDocument = JsonDocument<
  VerdictLine & {
    readonly endpoint: string;
    readonly asked: Explained['asked'];
    /** Those that select the endpoint, without those in dry-run. */
    readonly policies: readonly string[];
    readonly remote: { readonly identity: Identity; readonly labels: readonly string[] };
    /** The Service that was asked about, and each identity and port behind it. */
    readonly dialled: Explained['dialled'];
    readonly conflict: string | null;
    readonly defaultDeny: Explained['defaultDeny'];
    readonly dryRun: unknown;
    readonly steps: Explanation['steps'];
    readonly near: Explained['near'];
  }
>;

export function explainDocument(answer: Explained): ExplainDocument {
  return jsonDocument('Explanation', {
    ...answer.line,
    endpoint: answer.endpoint.name,
    asked: answer.asked,
    policies: answer.selecting,
    remote: { identity: answer.remote, labels: answer.remoteLabels },
    dialled: answer.dialled,
    conflict: answer.conflict,
    defaultDeny: answer.defaultDeny,
    dryRun: dryRunValue(answer.dryRun),
    steps: answer.explanation.steps,
    near: answer.near,
  });
}

function dryRunValue(dryRun: Explained['dryRun']) {
  if (dryRun === null) return null;
  const { verdict, layer, reason, rule } = dryRun.decision;
  return { policies: dryRun.policies, verdict, layer, reason, rule };
}
