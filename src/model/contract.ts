/**
 * What one part of ours demands of another, and types cannot say. A breach is a bug: it throws, and the guard of the
 * connection makes an internal error of it, so that nothing goes on in a state that nobody has thought of.
 */
export function assert(isKept: boolean, contract: string): asserts isKept {
  if (!isKept) throw new Error(`a broken contract: ${contract}`);
}
