/** Asks a policy set questions of the `verdict` form, without the command around it. */

import { parseQuestion } from '../../src/control/ask/question.ts';
import { openQuestions, type QuestionContext } from '../../src/control/ask/question_context.ts';
import { formatProblem } from '../../src/control/decode/problem.ts';
import { PolicySet } from '../../src/control/set/policy_set.ts';
import { decodeBundle } from '../../src/control/source/files/decode_bundle.ts';
import type { SourceBundle } from '../../src/control/source/files/source_bundle.ts';
import type { Decision } from '../../src/model/decision.ts';
import { effectiveIdentity } from '../../src/model/identity.ts';
import { DEFAULT_LIMITS } from '../../src/model/limits.ts';
import { plainHead } from '../../src/model/request_head.ts';
import { decideConnection, decideDns, decideRequest } from '../../src/policy/decide/decide.ts';
import { IdentityAllocator } from '../../src/policy/resolve/identity_allocator.ts';
import { createRe2Engine } from '../../src/regex/re2_engine.ts';

const OPTIONS = { limits: DEFAULT_LIMITS, regexEngine: createRe2Engine(DEFAULT_LIMITS) };

export type Opened =
  | { readonly kind: 'ok'; readonly context: QuestionContext }
  | { readonly kind: 'rejected'; readonly problems: readonly string[] };

export function open(bundle: SourceBundle): Opened {
  const decoded = decodeBundle(bundle, OPTIONS);
  const opened =
    decoded.kind === 'rejected'
      ? decoded
      : openQuestions(new PolicySet(decoded.input), {
          ...OPTIONS,
          revision: 1,
          isEmptySetOpen: false,
          allocator: new IdentityAllocator(DEFAULT_LIMITS),
        });
  if (opened.kind === 'ok') return opened;
  return { kind: 'rejected', problems: opened.problems.map(formatProblem) };
}

export function opened(bundle: SourceBundle): QuestionContext {
  const result = open(bundle);
  if (result.kind === 'rejected') throw new Error(result.problems.join('\n'));
  return result.context;
}

/** `request` as in the lines of `sallyport verdict` and in policy test files. */
export function decisionOn(context: QuestionContext, request: unknown): Decision {
  const parsed = parseQuestion(request);
  if (parsed.kind === 'error') throw new Error(parsed.message);
  const { subject, remote, direction, protocol, port, proxyId, serverName, ask } = parsed.question;
  const identity = context.identityOf(remote);
  if (identity.kind === 'error') throw new Error(identity.message);
  const { snapshot } = context;
  const endpoint =
    subject.kind === 'ip' ? snapshot.endpoint(subject.ip) : snapshot.endpointNamed(subject.name);
  if (endpoint === null) throw new Error('no such endpoint');
  const view = endpoint
    .port(direction, protocol, port)
    .view(proxyId, effectiveIdentity(identity.identity));
  const connection = decideConnection(view, serverName);
  if (connection.verdict === 'deny' || ask.kind === 'connection') return connection;
  if (ask.kind === 'dns') return decideDns(view, ask.name);
  return decideRequest(view, serverName, plainHead(ask.request));
}
