/**
 * Work that can be put down between two steps: a long computation on the thread that serves traffic yields
 * after each piece of it, and who drives it decides when to go on. The outcome does not depend on that.
 */
export type Steps<Result> = Generator<undefined, Result, undefined>;

/** All at once. */
export function finish<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** One yield for so many cheap items: asking the clock costs as much as some of them. */
export const ITEMS_PER_STEP = 64;
