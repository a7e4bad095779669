/**
 * Branded primitives: numbers and strings that only a parse function can make, so that two of
 * them cannot be swapped by mistake. Erased at run time.
 */
declare const brand: unique symbol;

export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };

/** Makes a `switch` over a union exhaustive: a new case fails to compile at each place. */
export function assertNever(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}
