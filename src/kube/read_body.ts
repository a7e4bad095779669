/** The content of an answer, which may be silent for so long and last for so long. */
import type { Readable } from 'node:stream';
import type { Timers } from '../platform/platform.ts';

export interface BodyBounds {
  readonly timers: Timers;
  readonly quietMaxMs: number;
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
  const giveUp = (end: BodyEnd) => (): void => {
    givenUp = end;
    body.destroy();
  };
  const giveUpQuiet = giveUp({ kind: 'quiet' });
  let stopQuiet = timers.after(quietMaxMs, giveUpQuiet);
  const stopLife = lifeMaxMs === null ? null : timers.after(lifeMaxMs, giveUp({ kind: 'over' }));
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      stopQuiet();
      if (!take(chunk)) return { kind: 'enough' };
      stopQuiet = timers.after(quietMaxMs, giveUpQuiet);
    }
    return givenUp ?? { kind: 'end' };
  } catch (error) {
    return givenUp ?? { kind: 'cut', message: (error as Error).message };
  } finally {
    stopQuiet();
    stopLife?.();
    body.destroy();
  }
}
