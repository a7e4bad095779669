/** The content of an answer, which may be silent for so long and last for so long. */
import type { Readable } from 'node:stream';
import type { Timers } from '../platform/platform.ts';

export interface BodyBounds {
  readonly timers: Timers;
  /** Asked at the beginning and after each part. Null: any time. */
  readonly quietMaxMs: () => number | null;
  /** Null: any time. */
  readonly lifeMaxMs: number | null;
}

export type BodyEnd =
  /** Its own end. */
  | { readonly kind: 'end' }
  /** Nothing came for too long. */
  | { readonly kind: 'quiet' }
  /** It lasted too long. */
  | { readonly kind: 'over' }
  /** Whoever took the chunks wants no more. */
  | { readonly kind: 'enough' }
  | { readonly kind: 'cut'; readonly message: string };

/** `take` is given each chunk as it comes; false: it wants no more. What `take` throws ends it, too. */
export async function readBody(
  body: Readable,
  { timers, quietMaxMs, lifeMaxMs }: BodyBounds,
  take: (chunk: Buffer) => boolean,
): Promise<BodyEnd> {
  let givenUp: BodyEnd | null = null;
  const giveUpAfter = (delayMs: number | null, end: BodyEnd): (() => void) => {
    if (delayMs === null) return () => {};
    return timers.after(delayMs, () => {
      givenUp = end;
      body.destroy();
    });
  };
  let stopQuiet = giveUpAfter(quietMaxMs(), { kind: 'quiet' });
  const stopLife = giveUpAfter(lifeMaxMs, { kind: 'over' });
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      stopQuiet();
      if (!take(chunk)) return { kind: 'enough' };
      stopQuiet = giveUpAfter(quietMaxMs(), { kind: 'quiet' });
    }
    return givenUp ?? { kind: 'end' };
  } catch (error) {
    return givenUp ?? { kind: 'cut', message: (error as Error).message };
  } finally {
    stopQuiet();
    stopLife();
    body.destroy();
  }
}
