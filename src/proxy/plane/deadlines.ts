/**
 * Time-outs without timers: each connection says when it wants to be looked at next and what for; one
 * sweep per process compares (proxy/plane/registry.ts). The resolution is `sweepIntervalMs`.
 */
export const NO_DEADLINE = Number.POSITIVE_INFINITY;

/** 0 turns a time-out off. */
export function deadlineAfter(nowMs: number, timeoutMs: number): number {
  return timeoutMs === 0 ? NO_DEADLINE : nowMs + timeoutMs;
}
