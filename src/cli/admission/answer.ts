/** What was judged → the reply to an API server, which bounds what it passes on to users. */
import { shownLine } from '../../model/shown_text.ts';
import type { CheckFinding } from '../ask/check_findings.ts';
import type { Judged } from './judge_review.ts';

/** As the API server cuts warnings, in code points: each, and all of them together. */
const WARNING_MAX = 256;
const WARNINGS_MAX = 4096;
/** Of a refusal; who has more of them asks `check`. */
const ERROR_COUNT_MAX = 20;
const ERROR_MAX = 2048;
/** What the last warning of too many needs. */
const REST_MAX = 80;

export interface AdmissionAnswer {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly status?: { readonly code: number; readonly reason: string; readonly message: string };
    readonly warnings?: readonly string[];
  };
}

export function answerOf(uid: string, { errors, warnings }: Judged): AdmissionAnswer {
  const isAllowed = errors.length === 0;
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid,
      allowed: isAllowed,
      ...(isAllowed
        ? {}
        : { status: { code: 422, reason: 'Invalid', message: refusalText(errors) } }),
      ...(warnings.length === 0 ? {} : { warnings: boundedWarnings(warnings.map(lineOf)) }),
    },
  };
}

/** One error stands in the line of kubectl, several stand below it. */
function refusalText(errors: readonly CheckFinding[]): string {
  const lines = errors
    .slice(0, ERROR_COUNT_MAX)
    .map((found) => shortened(lineOf(found), ERROR_MAX));
  const more = errors.length - lines.length;
  if (more > 0) lines.push(`and ${more} more: sallyport check tells them`);
  return lines.length === 1 ? (lines[0] as string) : lines.map((line) => `\n  ${line}`).join('');
}

/** "spec.ingress[0].toPorts: MESSAGE [ID]", as `check` has it behind the place in a file. */
function lineOf({ field, message, instead, id }: CheckFinding): string {
  const text = instead === undefined ? message : `${message}; write: ${instead}`;
  return shownLine(`${field === '' ? '' : `${field}: `}${text} [${id}]`);
}

export function boundedWarnings(lines: readonly string[]): readonly string[] {
  const kept: string[] = [];
  let length = 0;
  for (const [index, line] of lines.entries()) {
    const warning = shortened(line, WARNING_MAX);
    const size = sizeOf(warning);
    const isLast = index === lines.length - 1;
    if (length + size > WARNINGS_MAX - (isLast ? 0 : REST_MAX)) {
      kept.push(`and ${lines.length - kept.length} more warnings: sallyport check tells them`);
      return kept;
    }
    kept.push(warning);
    length += size;
  }
  return kept;
}

function shortened(text: string, max: number): string {
  const characters = [...text];
  return characters.length <= max ? text : `${characters.slice(0, max - 1).join('')}…`;
}

function sizeOf(text: string): number {
  return [...text].length;
}
