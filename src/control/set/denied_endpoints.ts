/**
 * Endpoints that are denied because rules exclude each other there, told as what a source refuses is. Those of one
 * subject share their rules, so one that comes later is denied, too.
 */
import type { EndpointPlace } from '../../policy/identity/delta.ts';
import type { Problem } from '../decode/problem.ts';
import type { DeniedByConflict } from './build_snapshot.ts';
import type { RefusedDocument } from './policy_input.ts';
import { refusedEndpoint } from './refused_endpoint.ts';

export class DeniedEndpoints {
  readonly #bySubject = new Map<number, Problem>();
  /** Each is the same object as long as it is denied for the same. */
  readonly #told = new Map<string, RefusedDocument>();

  constructor(denied: readonly DeniedByConflict[]) {
    for (const { subject, problem } of denied) {
      if (subject !== null) this.#bySubject.set(subject, problem);
    }
  }

  among(places: readonly EndpointPlace[]): readonly RefusedDocument[] {
    if (this.#bySubject.size === 0) return NONE;
    return places.flatMap(({ name, subject }) => {
      const problem = this.#bySubject.get(subject);
      return problem === undefined ? [] : [this.#tell(name, problem)];
    });
  }

  #tell(name: string, problem: Problem): RefusedDocument {
    let told = this.#told.get(name);
    if (told?.problems[0] !== problem) {
      told = refusedEndpoint(name, problem);
      this.#told.set(name, told);
    }
    return told;
  }
}

const NONE: readonly RefusedDocument[] = [];
