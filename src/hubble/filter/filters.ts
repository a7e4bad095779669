/**
 * Filters of Hubble, as Cilium's agent understands them (pkg/hubble/filters): within one, all fields that are set must
 * fit, by any of their values; of a list, any one. A flow passes that the whitelist has, or an empty one, and the
 * blacklist has not.
 */
import type { CompileSearch } from '../../regex/search.ts';
import type { FlowFilter } from '../generated/flow/flow_pb.ts';
import { BadFilterError } from './bad_filter.ts';
import { FIELDS } from './fields.ts';
import type { FlowTest } from './flow_test.ts';

export interface FilterLists {
  readonly whitelist: readonly FlowFilter[];
  readonly blacklist: readonly FlowFilter[];
}

export type CompiledFilters =
  | { readonly kind: 'ok'; readonly passes: FlowTest }
  /** Whose filter it is, is told what is wrong with it. */
  | { readonly kind: 'error'; readonly message: string };

export function compileFilters(lists: FilterLists, compile: CompileSearch): CompiledFilters {
  try {
    const allowed = lists.whitelist.map((filter) => testOf(filter, compile));
    const denied = lists.blacklist.map((filter) => testOf(filter, compile));
    return {
      kind: 'ok',
      passes: (flow) =>
        (allowed.length === 0 || allowed.some((test) => test(flow))) &&
        !denied.some((test) => test(flow)),
    };
  } catch (error) {
    if (error instanceof BadFilterError) return { kind: 'error', message: error.message };
    throw error;
  }
}

/** One without any field takes every flow. */
function testOf(filter: FlowFilter, compile: CompileSearch): FlowTest {
  if (filter.experimental !== undefined && filter.experimental.celExpression.length > 0) {
    throw new BadFilterError('filters of CEL are not supported');
  }
  const tests: FlowTest[] = [];
  for (const fieldTest of FIELDS) {
    const test = fieldTest(filter, compile);
    if (test !== null) tests.push(test);
  }
  return (flow) => tests.every((test) => test(flow));
}
