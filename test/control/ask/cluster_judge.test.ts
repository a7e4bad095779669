/** A cluster's policies are many people's: what cannot be in force is refused alone, and files laid over it as one. */
import { describe, expect, it } from 'vitest';
import {
  ClusterJudge,
  type LaidOver,
  refusedAlone,
} from '../../../src/control/ask/cluster_judge.ts';
import { parseQuestion } from '../../../src/control/ask/question.ts';
import { formatProblem } from '../../../src/control/decode/problem.ts';
import { decodeBundle } from '../../../src/control/source/files/decode_bundle.ts';
import type { ApiObject } from '../../../src/control/source/objects/object_set.ts';
import { DEFAULT_LIMITS } from '../../../src/model/limits.ts';
import { createRe2Engine } from '../../../src/regex/re2_engine.ts';
import { inventoryOf } from '../../support/inventory.ts';
import { cnpObject } from '../../support/objects.ts';

const OPTIONS = {
  limits: DEFAULT_LIMITS,
  regexEngine: createRe2Engine(DEFAULT_LIMITS),
  normalisePath: (path: string) => path,
  isEmptySetOpen: true,
};
const INVENTORY = inventoryOf(`
endpoints:
  - { name: shop/api, ip: 10.0.0.1, labels: { app: api } }
  - { name: shop/web, ip: 10.0.0.2, labels: { app: web } }
`);
const NO_SECRETS: ReadonlyMap<string, string> = new Map();

/** To the web on port 443. Rules on requests and on server names exclude each other there. */
function about(what: object): object {
  const toPorts = [{ ports: [{ port: '443', protocol: 'TCP' }], ...what }];
  return {
    endpointSelector: { matchLabels: { app: 'api' } },
    ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }], toPorts }],
  };
}

const HTTP = cnpObject('shop', 'http', about({ rules: { http: [{ method: 'GET' }] } }));
const NAMES = cnpObject('shop', 'names', about({ serverNames: ['a.test'] }));
const BAD = cnpObject('shop', 'bad', { endpointSelector: {}, ingres: [] });

function judgeOf(policies: readonly ApiObject[]): ClusterJudge {
  return new ClusterJudge(
    { policies, inventory: INVENTORY, documents: [], warnings: [] },
    { ...OPTIONS, hasNodeLabels: false, invalidPolicy: 'absent' },
  );
}

function filesOf(...objects: readonly ApiObject[]): LaidOver {
  const text = JSON.stringify({ kind: 'List', items: objects.map(({ object }) => object) });
  const bundle = { policies: [{ path: 'new.yaml', text }], endpoints: null, secrets: null };
  const decoded = decodeBundle(bundle, OPTIONS);
  if (decoded.kind === 'rejected') throw new Error(decoded.problems.map(formatProblem).join('\n'));
  const { documents, warnings } = decoded.input;
  return { documents, warnings, secrets: NO_SECRETS };
}

const CONFLICT = 'server names and L7 rules for the same port and peer need terminatingTLS: ';

function warningsOf(judged: Judged): readonly string[] {
  if (judged.kind === 'rejected') throw new Error('nothing was judged');
  return judged.accepted.warnings.map(formatProblem);
}

type Judged = ReturnType<ClusterJudge['judge']>;

function verdictOf(judged: Judged, port = 443): string {
  if (judged.kind === 'rejected') return judged.problems.map(formatProblem).join('\n');
  const parsed = parseQuestion({ endpoint: 'shop/api', remote: 'shop/web', port });
  if (parsed.kind === 'error') throw new Error(parsed.message);
  const answer = judged.accepted.judge.answer(parsed.question);
  return answer.kind === 'answer' ? answer.line.verdict : answer.message;
}

function refusedOf(judged: Judged, files: LaidOver | null = null): readonly string[] {
  if (judged.kind === 'rejected') throw new Error('nothing was judged');
  return refusedAlone(judged.input, files).flatMap(({ problems }) => problems.map(formatProblem));
}

describe('what is in a cluster', () => {
  it('is open without any policy: the API says that there is none', () => {
    expect(verdictOf(judgeOf([]).judge(NO_SECRETS))).toBe('allow');
  });

  it('is judged without an object that cannot be decoded, which is told', () => {
    const judged = judgeOf([BAD, HTTP]).judge(NO_SECRETS);
    expect(verdictOf(judged)).toBe('allow');
    expect(verdictOf(judged, 80)).toBe('deny');
    expect(refusedOf(judged)[0]).toContain('CiliumNetworkPolicy shop/bad: spec.ingres: unknown');
  });

  it('denies who has rules that exclude each other, which is told', () => {
    const judged = judgeOf([HTTP, NAMES]).judge(NO_SECRETS);
    expect(verdictOf(judged)).toBe('deny');
    expect(warningsOf(judged)).toEqual([expect.stringContaining('; it denies shop/api')]);
  });
});

describe('files that are laid over it', () => {
  it('are added to it, and take the place of what has their names', () => {
    const cluster = judgeOf([HTTP]);
    expect(verdictOf(cluster.judge(NO_SECRETS), 80)).toBe('deny');
    const more = filesOf(
      cnpObject('shop', 'more', { endpointSelector: {}, ingress: [{ fromEntities: ['all'] }] }),
    );
    expect(verdictOf(cluster.judgeWith(more), 80)).toBe('allow');
    const other = filesOf(cnpObject('shop', 'http', about({})));
    const judged = cluster.judgeWith(other);
    expect(verdictOf(judged)).toBe('allow');
    expect(refusedOf(judged, other)).toEqual([]);
    // And the cluster is as it was.
    expect(verdictOf(cluster.judge(NO_SECRETS), 80)).toBe('deny');
  });

  it('mend what is bad there', () => {
    const cluster = judgeOf([BAD]);
    cluster.judge(NO_SECRETS);
    const mended = filesOf(cnpObject('shop', 'bad', about({})));
    const judged = cluster.judgeWith(mended);
    expect(refusedOf(judged, mended)).toEqual([]);
    expect(verdictOf(judged, 80)).toBe('deny');
  });

  it('deny whom rules of both exclude each other for, which is told', () => {
    const cluster = judgeOf([HTTP]);
    expect(verdictOf(cluster.judge(NO_SECRETS))).toBe('allow');
    const judged = cluster.judgeWith(filesOf(NAMES));
    expect(verdictOf(judged)).toBe('deny');
    expect(warningsOf(judged)).toEqual([expect.stringContaining('; it denies shop/api')]);
    expect(verdictOf(cluster.judge(NO_SECRETS))).toBe('allow');
  });

  it('and what is there explain whom they deny so, by both rules', () => {
    const judged = judgeOf([HTTP, NAMES]).judge(NO_SECRETS);
    if (judged.kind === 'rejected') throw new Error('nothing was judged');
    const parsed = parseQuestion({ endpoint: 'shop/api', remote: 'shop/web', port: 443 });
    if (parsed.kind === 'error') throw new Error(parsed.message);
    const answer = judged.accepted.judge.explain(parsed.question);
    expect(answer).toMatchObject({ conflict: expect.stringContaining(CONFLICT) });
  });
});
