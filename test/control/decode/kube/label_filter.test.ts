/** What `test/conformance/pod_labels.ts` holds against Cilium's own code, in a few cases that need no Go. */
import { describe, expect, it } from 'vitest';
import {
  nodeLabelFilter,
  podLabelFilter,
} from '../../../../src/control/decode/kube/label_filter.ts';
import { DEFAULT_LIMITS } from '../../../../src/model/limits.ts';
import { DEFAULT_LABEL_FILTER } from '../../../../src/policy/label_filter.ts';
import { createRe2Engine } from '../../../../src/regex/re2_engine.ts';

const regex = createRe2Engine(DEFAULT_LIMITS);

function included(patterns: readonly string[], keys: readonly string[], source = 'k8s'): string[] {
  const result = podLabelFilter(patterns, regex);
  if (result.kind === 'error') throw new Error(result.message);
  return keys.filter((key) => result.filter.isPartOfIdentity(source, key));
}

describe('the filter of an agent that is not told otherwise', () => {
  it.each([
    ['app', true],
    ['app.kubernetes.io/name', true],
    ['io.kubernetes.pod.namespace', true],
    ['io.kubernetes.pod.name', false],
    ['kubernetes.io/arch', false],
    ['my.kubernetes.io/arch', true],
    ['beta.kubernetes.io/os', false],
    ['node.beta.kubernetes.io/os', false],
    ['node.k8s.io/os', true],
    ['k8s.io/os', false],
    ['annotations', false],
    ['my-annotation', true],
    ['etcd_node', false],
    ['pod-template-hash', false],
    ['topology.kubernetes.io/zone', false],
    ['io.cilium.k8s.namespace.labels.kubernetes.io/arch', true],
  ])('%s: %s', (key, isPart) => {
    expect(DEFAULT_LABEL_FILTER.isPartOfIdentity('k8s', key)).toBe(isPart);
    expect(included([], [key])).toEqual(isPart ? [key] : []);
  });
});

describe('patterns of users', () => {
  const KEYS = ['app', 'apps', 'my-app', 'team', 'kubernetes.io/arch'];
  it.each<[string, readonly string[], readonly string[]]>([
    ['one that takes in keeps all others out', ['app'], ['app', 'apps']],
    ['one that keeps out leaves the others', ['!app'], ['my-app', 'team']],
    ['the longer match counts', ['kubernetes.io/arch'], ['kubernetes.io/arch']],
    ['of a source', ['k8s:team'], ['team']],
    ['of another source', ['any:team'], []],
    ['"!" stands behind the source', ['k8s:!team'], ['app', 'apps', 'my-app']],
    ['before it, it is part of the source', ['!k8s:team'], []],
    ['as far as the first alternative goes', ['!app', 'a|app'], []],
    ['lazily, which is shorter', ['!ap', 'ap+?s?'], []],
    ['up to its end', ['app$'], ['app']],
    ['nothing at all matches nothing', ['', 'x*'], []],
    ['only what begins there', ['pp'], []],
  ])('%s', (_, patterns, expected) => {
    expect(included(patterns, KEYS)).toEqual(expected);
  });

  it('of reserved labels are never needed', () => {
    expect(included(['app'], ['host'], 'reserved')).toEqual(['host']);
  });

  it.each([
    ['k8s:', '"k8s:": there is no pattern behind the source'],
    ['a(', '"a(": missing ): a('],
  ])('that are none are told: %s', (pattern, message) => {
    for (const filter of [podLabelFilter, nodeLabelFilter]) {
      expect(filter(['app', pattern], regex)).toEqual({ kind: 'error', message });
    }
  });

  it('of nodes stand alone', () => {
    const result = nodeLabelFilter([], regex);
    if (result.kind === 'error') throw new Error(result.message);
    expect(result.filter.isPartOfIdentity('node', 'kubernetes.io/arch')).toBe(true);
  });
});
