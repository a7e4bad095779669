/**
 * Starts an origin and every chosen subject that speaks the version, makes sure that each enforces the
 * policy, and stops them all whatever happens. One that does not start, or enforces something else, is told
 * as failed and takes no part; the others do.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Missing } from '../report/report.ts';
import { startOrigin } from '../subjects/origin.ts';
import {
  type BenchRule,
  type Found,
  type Order,
  PLAIN_RULES,
  type Spoken,
  type StartOrigin,
  type Subject,
  type SubjectKind,
} from '../subjects/subject.ts';
import type { SuiteContext } from '../suites/suite.ts';
import { checkPolicy } from './policy_check.ts';
import { checkZone } from './zone_check.ts';

export interface LineUp {
  readonly version: Spoken;
  /** PLAIN_RULES when absent. */
  readonly rules?: readonly BenchRule[];
  /** True when absent; kinds that never have a log have none. */
  readonly hasAccessLog?: boolean;
  /** What answers behind the subjects, and alone: the version's plain origin when absent. */
  readonly startOrigin?: StartOrigin;
  /** Among the chosen kinds, those that take part: all when absent. */
  readonly isWanted?: (kind: SubjectKind) => boolean;
}

export async function withSubjects<T>(
  context: SuiteContext,
  lineUp: LineUp,
  action: (subjects: readonly Subject[], origin: Subject) => Promise<T>,
): Promise<T> {
  const { version, rules = PLAIN_RULES, isWanted = () => true } = lineUp;
  const start = lineUp.startOrigin ?? startOrigin;
  const directory = join(context.directory, `subjects-${++lineUpCount}`);
  const subjects: Subject[] = [];
  try {
    await mkdir(directory, { recursive: true });
    const originOrder = { directory: join(directory, 'origin'), version, place: 'other' } as const;
    await mkdir(originOrder.directory);
    const origin = await start(originOrder);
    subjects.push(origin);
    const order = {
      version,
      rules,
      originUrl: origin.url,
      hasAccessLog: lineUp.hasAccessLog ?? true,
      startOrigin: start,
    };
    const check = (subject: Subject): Promise<void> =>
      version === 'dns' ? checkZone(subject) : checkPolicy(subject, version, rules);
    for (const kind of context.kinds) {
      if (!kind.speaks.includes(version) || !isWanted(kind)) continue;
      const own = join(directory, kind.name.replaceAll(/\W+/g, '-'));
      const subject = await startKind(context, kind, { ...order, directory: own }, check);
      if (subject !== null) subjects.push(subject);
    }
    return await action(subjects.slice(1), origin);
  } finally {
    await Promise.all(subjects.map((subject) => subject.stop()));
    await rm(directory, { recursive: true, force: true });
  }
}

let lineUpCount = 0;
const found = new WeakMap<SubjectKind, Promise<Found | Missing>>();

/** Asked once in a run. */
export function findKind(kind: SubjectKind): Promise<Found | Missing> {
  const known = found.get(kind) ?? kind.find();
  found.set(kind, known);
  return known;
}

/** Null: cannot be had, or broke, which the report tells. */
async function startKind(
  context: SuiteContext,
  kind: SubjectKind,
  order: Order,
  check: (subject: Subject) => Promise<void>,
): Promise<Subject | null> {
  const answer = await findKind(kind);
  if ('why' in answer) {
    context.tellMissing(answer);
    return null;
  }
  context.progress(`starting ${kind.name} ${answer.version}`);
  await mkdir(order.directory);
  let subject: Subject | null = null;
  try {
    subject = await answer.start(order);
    await check(subject);
    context.tellSubject(subject.facts);
    return subject;
  } catch (error) {
    context.tellFailed(kind.name, error);
    await subject?.stop();
    return null;
  }
}
