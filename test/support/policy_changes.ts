/** Two sets of policies of one small cluster, and what is asked of both to find out what differs. */
import type { JudgeOptions } from '../../src/control/ask/judge.ts';
import { createJudge, type Judge } from '../../src/control/ask/judge.ts';
import { parseQuestion } from '../../src/control/ask/question.ts';
import type { PolicyDocument } from '../../src/control/decode/policy_document.ts';
import { decodePolicyObject } from '../../src/control/decode/policy_object.ts';
import type { PolicyInput } from '../../src/control/set/policy_input.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import type { Inventory } from '../../src/policy/resolve/inventory.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';

export const COMPARE_OPTIONS = {
  limits: DEFAULT_LIMITS,
  regexEngine: createRe2Engine(DEFAULT_LIMITS),
  isEmptySetOpen: true,
  isHostJudged: false,
};

const JUDGE_OPTIONS: JudgeOptions = { ...COMPARE_OPTIONS, normalisePath: (path) => path };

/** `objects`: as an API has them. Throws for one that is no policy. */
export function inputOf(objects: readonly object[], inventory: Inventory): PolicyInput {
  const documents = objects.map(documentOf);
  const parts = [inventory, ...documents];
  const none = { secrets: new Map(), hasNodeLabels: false, warnings: [], refused: [] };
  return { documents, inventory, ...none, parts };
}

const DOCUMENTS = new WeakMap<object, PolicyDocument>();

/** The very same object is the very same document, as a source has it. */
function documentOf(object: object): PolicyDocument {
  const known = DOCUMENTS.get(object);
  if (known !== undefined) return known;
  const { kind, metadata } = object as {
    kind: string;
    metadata: { name: string; namespace?: string };
  };
  const { name, namespace = null } = metadata;
  const ref = { apiKind: kind, namespace, name, uid: null };
  const decoded = decodePolicyObject(object, ref, { limits: DEFAULT_LIMITS });
  if (decoded.kind === 'refused') throw new Error(JSON.stringify(decoded.problems));
  DOCUMENTS.set(object, decoded.document);
  return decoded.document;
}

export function judgeOf(input: PolicyInput): Judge {
  const created = createJudge(input, JUDGE_OPTIONS);
  if (created.kind === 'rejected') throw new Error(JSON.stringify(created.problems));
  return created.judge;
}

/** The verdicts on each of `asks` ("connection", or what a question has beside its sides), as one letter each. */
export function verdictsOf(judge: Judge, sides: object, asks: readonly object[]): string {
  return asks
    .map((ask) => {
      const parsed = parseQuestion({ ...sides, ...ask });
      if (parsed.kind === 'error') throw new Error(parsed.message);
      const answer = judge.answer(parsed.question);
      if (answer.kind === 'error') throw new Error(answer.message);
      return answer.line.verdict === 'allow' ? 'a' : 'd';
    })
    .join('');
}
